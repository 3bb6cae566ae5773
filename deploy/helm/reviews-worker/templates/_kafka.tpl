{{- /* Folders that the files of Secrets and ConfigMaps are mounted in; whole volumes, so that a change arrives. */}}
{{- define "reviews-worker.folder" -}}
/etc/reviews-worker/{{ . }}
{{- end }}

{{- /* What is mounted for Kafka, as YAML: name of the volume -> its source. */}}
{{- define "reviews-worker.kafkaSources" -}}
{{- $tls := .Values.kafka.tls -}}
{{- $sasl := .Values.kafka.sasl -}}
{{- $mechanism := $sasl.mechanism -}}
{{- with include "reviews-worker.caSource" $tls.ca }}
kafka-ca:
  {{- . | nindent 2 }}
{{- end }}
{{- with $tls.client.secret }}
kafka-client:
  secret:
    secretName: {{ . | quote }}
    defaultMode: 0440
    items:
      - {key: {{ $tls.client.certificateKey | quote }}, path: tls.crt}
      - {key: {{ $tls.client.privateKeyKey | quote }}, path: tls.key}
      {{- with $tls.client.passwordKey }}
      - {key: {{ . | quote }}, path: password}
      {{- end }}
{{- end }}
{{- if or (eq $mechanism "PLAIN") (hasPrefix "SCRAM-" $mechanism) }}
kafka-sasl:
  secret:
    secretName: {{ $sasl.secret | quote }}
    defaultMode: 0440
    items:
      {{- if not $sasl.username }}
      - {key: {{ $sasl.usernameKey | quote }}, path: username}
      {{- end }}
      - {key: {{ $sasl.passwordKey | quote }}, path: password}
{{- else if eq $mechanism "OAUTHBEARER" }}
{{- with $sasl.oauth }}
kafka-oauth:
  {{- if .serviceAccountToken.enabled }}
  projected:
    defaultMode: 0440
    sources:
      - serviceAccountToken:
          path: token
          audience: {{ .serviceAccountToken.audience | quote }}
          expirationSeconds: {{ .serviceAccountToken.expirationSeconds }}
  {{- else }}
  secret:
    secretName: {{ .secret | quote }}
    defaultMode: 0440
    items:
      {{- if .tokenKey }}
      - {key: {{ .tokenKey | quote }}, path: token}
      {{- else }}
      - {key: {{ .clientSecretKey | quote }}, path: client-secret}
      {{- end }}
  {{- end }}
{{- with include "reviews-worker.caSource" .ca }}
kafka-oauth-ca:
  {{- . | nindent 2 }}
{{- end }}
{{- end }}
{{- else if eq $mechanism "GSSAPI" }}
{{- with $sasl.kerberos }}
kafka-keytab:
  secret:
    secretName: {{ .secret | quote }}
    defaultMode: 0440
    items:
      - {key: {{ .keytabKey | quote }}, path: keytab}
{{- if .configMap }}
kafka-krb5:
  configMap:
    name: {{ .configMap | quote }}
    items:
      - {key: {{ .configKey | quote }}, path: krb5.conf}
{{- end }}
{{- end }}
{{- end }}
{{- end }}

{{- define "reviews-worker.caSource" -}}
{{- if .configMap -}}
configMap:
  name: {{ .configMap | quote }}
  items:
    - {key: {{ .key | quote }}, path: ca.crt}
{{- else if .secret -}}
secret:
  secretName: {{ .secret | quote }}
  defaultMode: 0440
  items:
    - {key: {{ .key | quote }}, path: ca.crt}
{{- end -}}
{{- end }}

{{- /* The worker's settings for TLS and SASL, as YAML. */}}
{{- define "reviews-worker.securitySettings" -}}
{{- $kafka := .Values.kafka -}}
{{- $sasl := $kafka.sasl -}}
{{- $mechanism := $sasl.mechanism -}}
security_protocol: {{ $kafka.securityProtocol }}
{{- if contains "SSL" (replace "SASL_" "" $kafka.securityProtocol) }}
ssl_check_hostname: {{ $kafka.tls.checkHostname }}
{{- if include "reviews-worker.caSource" $kafka.tls.ca }}
ssl_ca_file: {{ include "reviews-worker.folder" "kafka-ca/ca.crt" }}
{{- end }}
{{- if $kafka.tls.client.secret }}
ssl_certificate_file: {{ include "reviews-worker.folder" "kafka-client/tls.crt" }}
ssl_key_file: {{ include "reviews-worker.folder" "kafka-client/tls.key" }}
{{- if $kafka.tls.client.passwordKey }}
ssl_key_password_file: {{ include "reviews-worker.folder" "kafka-client/password" }}
{{- end }}
{{- end }}
{{- end }}
{{- if $mechanism }}
sasl_mechanism: {{ $mechanism }}
{{- end }}
{{- if or (eq $mechanism "PLAIN") (hasPrefix "SCRAM-" $mechanism) }}
{{- if $sasl.username }}
sasl_username: {{ $sasl.username | quote }}
{{- else }}
sasl_username_file: {{ include "reviews-worker.folder" "kafka-sasl/username" }}
{{- end }}
sasl_password_file: {{ include "reviews-worker.folder" "kafka-sasl/password" }}
{{- else if eq $mechanism "OAUTHBEARER" }}
{{- if or $sasl.oauth.serviceAccountToken.enabled $sasl.oauth.tokenKey }}
oauth_token_file: {{ include "reviews-worker.folder" "kafka-oauth/token" }}
{{- else }}
oauth_token_url: {{ $sasl.oauth.tokenUrl | quote }}
oauth_client_id: {{ $sasl.oauth.clientId | quote }}
oauth_client_secret_file: {{ include "reviews-worker.folder" "kafka-oauth/client-secret" }}
{{- with $sasl.oauth.scope }}
oauth_scope: {{ . | quote }}
{{- end }}
{{- if include "reviews-worker.caSource" $sasl.oauth.ca }}
oauth_ca_file: {{ include "reviews-worker.folder" "kafka-oauth-ca/ca.crt" }}
{{- end }}
{{- end }}
{{- else if eq $mechanism "GSSAPI" }}
kerberos_service_name: {{ $sasl.kerberos.serviceName | quote }}
{{- end }}
{{- end }}

{{- define "reviews-worker.kerberosEnvironment" -}}
{{- if eq .Values.kafka.sasl.mechanism "GSSAPI" -}}
KRB5_CLIENT_KTNAME: {{ include "reviews-worker.folder" "kafka-keytab/keytab" }}
KRB5CCNAME: FILE:/tmp/krb5cc
{{- if .Values.kafka.sasl.kerberos.configMap }}
KRB5_CONFIG: {{ include "reviews-worker.folder" "kafka-krb5/krb5.conf" }}
{{- end }}
{{- end -}}
{{- end }}
