{{- /* How an update goes. Numbers from values may be empty, and 0 counts. */}}
{{- define "reviews-worker.maxSurge" -}}
{{- toString .Values.workload.maxSurge | default (ternary "0" "1" (eq "true" (include "reviews-worker.hasGpu" .))) -}}
{{- end }}

{{- define "reviews-worker.maxUnavailable" -}}
{{- toString .Values.workload.maxUnavailable | default (ternary "1" "0" (eq "true" (include "reviews-worker.hasGpu" .))) -}}
{{- end }}

{{- define "reviews-worker.maxReplicas" -}}
{{- .Values.scaling.max | default .Values.kafka.inputPartitions -}}
{{- end }}

{{- /* An amount of CPU in thousandths of a core, however it is written; empty where it is none. */}}
{{- define "reviews-worker.millicores" -}}
{{- $units := dict "" 1000 "m" 1 "u" 0.001 "n" 0.000001 "k" 1000000 -}}
{{- $amount := toString . -}}
{{- if regexMatch "^[0-9]*\\.?[0-9]+([eE][+-]?[0-9]+|[munk])?$" $amount -}}
{{- $unit := regexFind "[munk]$" $amount -}}
{{- mulf (trimSuffix $unit $amount) (get $units $unit) -}}
{{- end -}}
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

{{- /* Seconds that the slowest worker needs for its lag, by its own measure. */}}
{{- define "reviews-worker.drainQuery" -}}
max(reviews_worker_drain_seconds{ {{- include "reviews-worker.ownSeries" . -}} })
{{- end }}

{{- /* Metadata of KEDA's trigger, as YAML; KEDA takes strings only. */}}
{{- define "reviews-worker.triggerMetadata" -}}
{{- $keda := .Values.scaling.keda -}}
{{- if eq $keda.by "drainTime" -}}
serverAddress: {{ $keda.prometheusServer | quote }}
query: {{ include "reviews-worker.drainQuery" . | quote }}
threshold: {{ $keda.drainSeconds | toJson | quote }}
# Workers that Prometheus hears nothing of are no workers without lag: the number stays as it is.
ignoreNullValues: "false"
{{- else -}}
bootstrapServers: {{ .Values.kafka.bootstrapServers | quote }}
consumerGroup: {{ .Values.kafka.group | quote }}
topic: {{ .Values.kafka.inputTopic | quote }}
lagThreshold: {{ $keda.lagThreshold | int | quote }}
activationLagThreshold: {{ $keda.activationLagThreshold | int | quote }}
offsetResetPolicy: {{ ternary "latest" "earliest" (eq false .Values.settings.from_beginning) }}
allowIdleConsumers: "false"
limitToPartitionsWithLag: {{ $keda.limitToPartitionsWithLag | quote }}
version: {{ $keda.kafkaVersion | quote }}
tls: {{ ternary "enable" "disable" (eq "true" (include "reviews-worker.hasTls" .)) }}
unsafeSsl: {{ $keda.unsafeSsl | quote }}
{{- with include "reviews-worker.kedaSasl" . }}
{{- if ne . "none" }}
sasl: {{ . }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}
