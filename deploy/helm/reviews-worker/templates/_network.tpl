{{- /* "true" for the digits of a port. */}}
{{- define "reviews-worker.isPort" -}}
{{- if and (regexMatch "^[1-9][0-9]{0,4}$" .) (le (atoi .) 65535) -}}true{{- end -}}
{{- end }}

{{- /* Host and port of a URL, and what stands before them. */}}
{{- define "reviews-worker.authorityOfUrl" -}}
{{- regexFind "^https?://[^/?#]*" . | trimPrefix "http://" | trimPrefix "https://" -}}
{{- end }}

{{- /* "true" for a URL with a host, and with a port that can be one if any. */}}
{{- define "reviews-worker.isAddress" -}}
{{- $place := include "reviews-worker.authorityOfUrl" . | splitList "@" | last -}}
{{- if and (regexMatch "^(\\[[0-9a-fA-F:.]+\\]|[^\\s:\\[\\]]+)(:[0-9]+)?$" $place) (include "reviews-worker.isPort" (include "reviews-worker.portOfUrl" .)) -}}true{{- end -}}
{{- end }}

{{- /* The port of a URL, or what its scheme stands for. */}}
{{- define "reviews-worker.portOfUrl" -}}
{{- $port := regexFind ":[0-9]+$" (include "reviews-worker.authorityOfUrl" .) | trimPrefix ":" -}}
{{- $port | default (ternary "443" "80" (hasPrefix "https://" .)) -}}
{{- end }}

{{- /* Ports of the brokers: those of the bootstrap servers, and those of the values. */}}
{{- define "reviews-worker.brokerPorts" -}}
{{- $ports := list -}}
{{- range splitList "," .Values.kafka.bootstrapServers -}}
{{- $ports = append $ports (regexFind "[0-9]+$" (trim .)) -}}
{{- end -}}
{{- range .Values.networkPolicy.brokerPorts -}}
{{- $ports = append $ports (toString .) -}}
{{- end -}}
{{- range $ports | uniq | sortAlpha }}
- {port: {{ . }}, protocol: TCP}
{{- end -}}
{{- end }}

{{- define "reviews-worker.egress" -}}
{{- $policy := .Values.networkPolicy -}}
# Kafka
- ports:
    {{- include "reviews-worker.brokerPorts" . | trim | nindent 4 }}
  {{- with $policy.brokers }}
  to:
    {{- toYaml . | nindent 4 }}
  {{- end }}
# DNS
- ports:
    {{- range $policy.dnsPorts }}
    - {port: {{ . }}, protocol: UDP}
    - {port: {{ . }}, protocol: TCP}
    {{- end }}
  {{- with $policy.dns }}
  to:
    {{- toYaml . | nindent 4 }}
  {{- end }}
{{- if and (eq .Values.kafka.sasl.mechanism "OAUTHBEARER") .Values.kafka.sasl.oauth.tokenUrl }}
# end point of the token
- ports: [{port: {{ include "reviews-worker.portOfUrl" .Values.kafka.sasl.oauth.tokenUrl }}, protocol: TCP}]
{{- end }}
{{- if eq .Values.kafka.sasl.mechanism "GSSAPI" }}
# Kerberos
- ports: [{port: 88, protocol: TCP}, {port: 88, protocol: UDP}]
{{- end }}
{{- if and .Values.tracing.enabled .Values.tracing.endpoint }}
# traces
- ports: [{port: {{ include "reviews-worker.portOfUrl" .Values.tracing.endpoint }}, protocol: TCP}]
{{- end }}
{{- if eq .Values.model.source "hub" }}
# the hub
- ports: [{port: 443, protocol: TCP}]
{{- end }}
{{- with $policy.extraEgress }}
{{ toYaml . }}
{{- end }}
{{- end }}
