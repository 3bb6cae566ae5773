{{- /* Settings that a value of the chart's own stands for, as YAML: name of the setting -> the value to use instead. */}}
{{- define "reviews-worker.ownedSettings" -}}
bootstrap_servers: kafka.bootstrapServers
group: kafka.group
group_instance_id: workload.kind
input_topic: kafka.inputTopic
output_topic: kafka.outputTopic
dead_letter_topic: kafka.deadLetterTopic
create_topics: topics.mode
topic_partitions: kafka.inputPartitions
topic_replication: topics.replication
topic_retention_s: topics.retentionSeconds
security_protocol: kafka.securityProtocol
ssl_ca_file: kafka.tls.ca
ssl_certificate_file: kafka.tls.client
ssl_key_file: kafka.tls.client
ssl_key_password_file: kafka.tls.client
ssl_check_hostname: kafka.tls.checkHostname
sasl_mechanism: kafka.sasl.mechanism
sasl_username: kafka.sasl.username
sasl_username_file: kafka.sasl.secret
sasl_password_file: kafka.sasl.secret
oauth_token_file: kafka.sasl.oauth
oauth_token_url: kafka.sasl.oauth.tokenUrl
oauth_client_id: kafka.sasl.oauth.clientId
oauth_client_secret_file: kafka.sasl.oauth.secret
oauth_scope: kafka.sasl.oauth.scope
oauth_ca_file: kafka.sasl.oauth.ca
kerberos_service_name: kafka.sasl.kerberos.serviceName
model: model.source
port: metrics.port
tracing: tracing.enabled
{{- end }}

{{- /* All settings of the worker that differ from its defaults or may do so, as YAML, by their own names. */}}
{{- define "reviews-worker.settings" -}}
{{- $settings := dict "host" "0.0.0.0" -}}
{{- if include "reviews-worker.hasGpu" . -}}
{{- $_ := set $settings "provider" "cuda" -}}
{{- end -}}
{{- $settings = mustMergeOverwrite $settings (deepCopy .Values.settings) -}}
{{- $own := dict
  "bootstrap_servers" .Values.kafka.bootstrapServers
  "group" .Values.kafka.group
  "input_topic" .Values.kafka.inputTopic
  "output_topic" .Values.kafka.outputTopic
  "dead_letter_topic" .Values.kafka.deadLetterTopic
  "create_topics" (eq .Values.topics.mode "worker")
  "topic_partitions" .Values.kafka.inputPartitions
  "topic_replication" .Values.topics.replication
  "topic_retention_s" .Values.topics.retentionSeconds
  "port" .Values.metrics.port -}}
{{- with include "reviews-worker.modelFolder" . -}}
{{- $_ := set $own "model" . -}}
{{- end -}}
{{- if .Values.tracing.enabled -}}
{{- $_ := set $own "tracing" true -}}
{{- end -}}
{{- toYaml (mustMergeOverwrite $settings $own (include "reviews-worker.securitySettings" . | fromYaml)) -}}
{{- end }}

{{- /* The environment that is no secret and the same for every pod, as YAML: variable -> text. Numbers go through JSON,
which writes 67108864 where YAML's floats would become 6.7108864e+07. */}}
{{- define "reviews-worker.environment" -}}
{{- range $name, $value := include "reviews-worker.settings" . | fromYaml }}
{{- if not (kindIs "invalid" $value) }}
REVIEWS_WORKER_{{ upper $name }}: {{ ternary $value (toJson $value) (kindIs "string" $value) | quote }}
{{- end }}
{{- end }}
{{- if and .Values.tracing.enabled .Values.tracing.endpoint }}
OTEL_EXPORTER_OTLP_ENDPOINT: {{ .Values.tracing.endpoint | quote }}
{{- end }}
{{- with include "reviews-worker.kerberosEnvironment" . }}
{{ . }}
{{- end }}
{{- end }}

{{- /* How long a stop may take in seconds: the drain; 25 for the last acknowledgements (3), the last commit (3), leaving the
group (10), the producer (5) and the process itself, each at its longest; and 3 for the last spans. */}}
{{- define "reviews-worker.terminationGracePeriodSeconds" -}}
{{- add (.Values.settings.grace_period_s | default 25 | ceil | int) 25 (ternary 3 0 .Values.tracing.enabled) -}}
{{- end }}
