{{- define "reviews-worker.maxReplicas" -}}
{{- .Values.scaling.max | default .Values.kafka.inputPartitions -}}
{{- end }}

{{- /* KEDA's word for the SASL mechanism; "none" where the chart cannot make a TriggerAuthentication for it, empty
without SASL. */}}
{{- define "reviews-worker.kedaSasl" -}}
{{- $sasl := .Values.kafka.sasl -}}
{{- if eq $sasl.mechanism "PLAIN" -}}plaintext
{{- else if eq $sasl.mechanism "SCRAM-SHA-256" -}}scram_sha256
{{- else if eq $sasl.mechanism "SCRAM-SHA-512" -}}scram_sha512
{{- else if and (eq $sasl.mechanism "OAUTHBEARER") $sasl.oauth.tokenUrl -}}oauthbearer
{{- else if $sasl.mechanism -}}none
{{- end -}}
{{- end }}

{{- define "reviews-worker.hasTls" -}}
{{- if has .Values.kafka.securityProtocol (list "SSL" "SASL_SSL") -}}true{{- end -}}
{{- end }}

{{- /* "true" when the chart makes a TriggerAuthentication of the Secrets that the worker uses. */}}
{{- define "reviews-worker.makesTriggerAuthentication" -}}
{{- $keda := .Values.scaling.keda -}}
{{- $tls := .Values.kafka.tls -}}
{{- $needed := or .Values.kafka.sasl.mechanism $tls.ca.configMap $tls.ca.secret $tls.client.secret -}}
{{- if and (eq .Values.scaling.kind "keda") (eq $keda.by "lag") (not $keda.triggerAuthentication) $needed -}}true{{- end -}}
{{- end }}

{{- define "reviews-worker.triggerAuthenticationName" -}}
{{- if .Values.scaling.keda.triggerAuthentication -}}
{{- .Values.scaling.keda.triggerAuthentication -}}
{{- else if include "reviews-worker.makesTriggerAuthentication" . -}}
{{- include "reviews-worker.fullname" . -}}
{{- end -}}
{{- end }}

{{- /* Seconds until the lag is worked off at the rate of all workers together. A partition counts once, whoever reports it,
and an idle group drains at once. */}}
{{- define "reviews-worker.drainQuery" -}}
{{- $pods := printf "namespace=%q,pod=~%q" .Release.Namespace (printf "%s-.+" (include "reviews-worker.fullname" .)) -}}
sum(max by (partition) (reviews_worker_lag{ {{- $pods -}} }))
/ clamp_min(sum(rate(reviews_worker_events_out_total{ {{- $pods -}} }[{{ .Values.scaling.keda.rateWindow }}])), 0.1)
{{- end }}
