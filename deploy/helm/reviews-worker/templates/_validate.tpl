{{- /* What a JSON Schema cannot say in words that help: one line for each problem. */}}
{{- define "reviews-worker.problems" -}}
{{- include "reviews-worker.kafkaProblems" . }}
{{- include "reviews-worker.settingsProblems" . }}
{{- include "reviews-worker.modelProblems" . }}
{{- include "reviews-worker.topicProblems" . }}
{{- include "reviews-worker.podProblems" . }}
{{- include "reviews-worker.scalingProblems" . }}
{{- end }}

{{- define "reviews-worker.kafkaProblems" -}}
{{- $kafka := .Values.kafka -}}
{{- $sasl := $kafka.sasl -}}
{{- $protocol := $kafka.securityProtocol -}}
{{- $hasTls := has $protocol (list "SSL" "SASL_SSL") -}}
{{- $hasSasl := hasPrefix "SASL_" $protocol -}}
{{- if not $kafka.bootstrapServers }}
kafka.bootstrapServers is needed: --set kafka.bootstrapServers=kafka-1:9092
{{- else }}
{{- range splitList "," $kafka.bootstrapServers }}
{{- if not (regexMatch "^(\\[[0-9a-fA-F:.]+\\]|[^\\s:/@\\[\\]]+):[0-9]+$" .) }}
kafka.bootstrapServers: {{ . | quote }} is no host:port, such as kafka-1:9092 or [fd00::1]:9092; kafka.securityProtocol says how it is spoken to
{{- else if not (include "reviews-worker.isPort" (regexFind "[0-9]+$" .)) }}
kafka.bootstrapServers: the port of {{ . | quote }} is not one of 1 to 65535
{{- end }}
{{- end }}
{{- end }}
{{- $topics := list $kafka.inputTopic $kafka.outputTopic $kafka.deadLetterTopic }}
{{- range $name, $topic := dict "kafka.inputTopic" $kafka.inputTopic "kafka.outputTopic" $kafka.outputTopic "kafka.deadLetterTopic" $kafka.deadLetterTopic }}
{{- if has $topic (list "." "..") }}
{{ $name }}: Kafka takes no topic that is called {{ $topic | quote }}
{{- end }}
{{- end }}
{{- if lt (len (uniq $topics)) 3 }}
kafka.inputTopic, kafka.outputTopic and kafka.deadLetterTopic must differ (now {{ join ", " $topics }})
{{- end }}
{{- range $name, $ca := dict "kafka.tls.ca" $kafka.tls.ca "kafka.sasl.oauth.ca" $sasl.oauth.ca }}
{{- if and $ca.configMap $ca.secret }}
{{ $name }}: give configMap or secret, not both
{{- end }}
{{- end }}
{{- if and (not $hasTls) (or $kafka.tls.ca.configMap $kafka.tls.ca.secret $kafka.tls.client.secret) }}
kafka.tls is set, but kafka.securityProtocol={{ $protocol }} has no TLS: take SSL or SASL_SSL
{{- end }}
{{- if and $hasSasl (not $sasl.mechanism) }}
kafka.securityProtocol={{ $protocol }} needs kafka.sasl.mechanism
{{- end }}
{{- if and $sasl.mechanism (not $hasSasl) }}
kafka.sasl.mechanism={{ $sasl.mechanism }} needs kafka.securityProtocol SASL_SSL or SASL_PLAINTEXT, not {{ $protocol }}
{{- end }}
{{- if and (or (eq $sasl.mechanism "PLAIN") (hasPrefix "SCRAM-" $sasl.mechanism)) (not $sasl.secret) }}
kafka.sasl.mechanism={{ $sasl.mechanism }} needs kafka.sasl.secret, the name of a Secret with user name and password
{{- end }}
{{- if eq $sasl.mechanism "OAUTHBEARER" }}
{{- $ways := list }}
{{- if $sasl.oauth.serviceAccountToken.enabled }}{{ $ways = append $ways "serviceAccountToken.enabled" }}{{ end }}
{{- if $sasl.oauth.tokenUrl }}{{ $ways = append $ways "tokenUrl" }}{{ end }}
{{- if $sasl.oauth.tokenKey }}{{ $ways = append $ways "tokenKey" }}{{ end }}
{{- if ne 1 (len $ways) }}
kafka.sasl.mechanism=OAUTHBEARER needs exactly one of serviceAccountToken.enabled, tokenUrl and tokenKey under kafka.sasl.oauth{{ with $ways }}, not {{ join " and " . }}{{ end }}
{{- end }}
{{- if and $sasl.oauth.tokenUrl (not (and $sasl.oauth.clientId $sasl.oauth.secret)) }}
kafka.sasl.oauth.tokenUrl needs kafka.sasl.oauth.clientId and kafka.sasl.oauth.secret
{{- end }}
{{- with $sasl.oauth.tokenUrl }}
{{- if contains "@" (include "reviews-worker.authorityOfUrl" .) }}
kafka.sasl.oauth.tokenUrl holds a user or a password: they belong into kafka.sasl.oauth.clientId and the Secret kafka.sasl.oauth.secret
{{- else if not (include "reviews-worker.isAddress" .) }}
kafka.sasl.oauth.tokenUrl={{ . }} is no address: https://, a host, and a port of 1 to 65535 where it is not 443
{{- end }}
{{- end }}
{{- if and $sasl.oauth.tokenKey (not $sasl.oauth.secret) }}
kafka.sasl.oauth.tokenKey needs kafka.sasl.oauth.secret
{{- end }}
{{- end }}
{{- if and (eq $sasl.mechanism "GSSAPI") (not $sasl.kerberos.secret) }}
kafka.sasl.mechanism=GSSAPI needs kafka.sasl.kerberos.secret, the name of a Secret with a keytab
{{- end }}
{{- end }}

{{- define "reviews-worker.settingsProblems" -}}
{{- $owned := include "reviews-worker.ownedSettings" . | fromYaml -}}
{{- range $name, $_ := .Values.settings }}
{{- with get $owned $name }}
settings.{{ $name }} belongs to the chart: set {{ . }} instead
{{- end }}
{{- end }}
{{- /* What the worker would refuse at its start, with its defaults. */}}
{{- $text := .Values.settings.text_field | default "text" }}
{{- $result := .Values.settings.result_field | default "sentiment" }}
{{- if contains "." $result }}
settings.result_field={{ $result }} names a member of the event itself, and has no dots
{{- end }}
{{- if eq $result (splitList "." $text | first) }}
settings.result_field={{ $result }} would replace the member that holds the text (settings.text_field={{ $text }})
{{- end }}
{{- $window := int .Values.settings.batch_window_reviews }}
{{- $inFlight := .Values.settings.max_in_flight_reviews | default 4096 | int }}
{{- if gt $window $inFlight }}
settings.batch_window_reviews={{ $window }} is more than settings.max_in_flight_reviews={{ $inFlight }}
{{- end }}
{{- end }}

{{- define "reviews-worker.modelProblems" -}}
{{- $model := .Values.model -}}
{{- if and (eq $model.source "pvc") (not $model.pvc.claim) }}
model.source=pvc needs model.pvc.claim
{{- end }}
{{- if and (eq $model.source "hub") (not $model.hub.repository) }}
model.source=hub needs model.hub.repository, owner/name
{{- end }}
{{- if eq $model.source "imageVolume" }}
{{- if not $model.imageVolume.reference }}
model.source=imageVolume needs model.imageVolume.reference
{{- end }}
{{- /* 1.31 and 1.32 have such volumes, but their Pod Security "restricted" refuses them. */}}
{{- if semverCompare "<1.33.0-0" .Capabilities.KubeVersion.Version }}
model.source=imageVolume needs Kubernetes 1.33 or newer, and this is {{ .Capabilities.KubeVersion.Version }}: take pvc or hub
{{- end }}
{{- end }}
{{- $gpus := get (.Values.resources.limits | default dict) .Values.gpu.resource }}
{{- if and $gpus (ne "1" (toString $gpus)) }}
resources.limits."{{ .Values.gpu.resource }}" is {{ $gpus }}: a worker uses exactly one GPU; more GPUs are more workers
{{- end }}
{{- end }}

{{- define "reviews-worker.topicProblems" -}}
{{- if and (eq .Values.topics.mode "strimzi") (not .Values.topics.strimzi.cluster) }}
topics.mode=strimzi needs topics.strimzi.cluster, the name of the Kafka resource
{{- end }}
{{- if and (eq .Values.topics.mode "job") .Values.externalSecrets }}
topics.mode=job runs before the Secrets of externalSecrets exist: take topics.mode=worker, strimzi or none
{{- end }}
{{- end }}

{{- define "reviews-worker.podProblems" -}}
{{- $own := include "reviews-worker.selectorLabels" . | fromYaml -}}
{{- range $place, $labels := dict "commonLabels" .Values.commonLabels "podLabels" .Values.podLabels }}
{{- range $name, $_ := $labels }}
{{- if hasKey $own $name }}
{{ $place }}: {{ $name }} belongs to the chart, which finds its pods and objects by it
{{- end }}
{{- end }}
{{- end }}
{{- $updates := list (include "reviews-worker.maxSurge" .) (include "reviews-worker.maxUnavailable" .) -}}
{{- if and (eq .Values.workload.kind "Deployment") (eq "0 0" (join " " $updates | replace "%" "")) }}
workload.maxSurge and workload.maxUnavailable are both 0, and no pod could ever be replaced: let one of them be 1
{{- end }}
{{- $fullname := include "reviews-worker.fullname" . }}
{{- if and (regexMatch "^[0-9]" $fullname) (or (eq .Values.workload.kind "StatefulSet") (eq .Values.metrics.monitor "service")) }}
the Service would be called {{ $fullname }}, and a Service's name has to begin with a letter: set fullnameOverride
{{- end }}
{{- $named := list "OTEL_EXPORTER_OTLP_ENDPOINT" "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT" -}}
{{- range .Values.extraEnv }}
{{- if has .name $named }}{{ $named = list }}{{ end }}
{{- end }}
{{- if and .Values.tracing.enabled (not .Values.tracing.endpoint) $named }}
tracing.enabled needs tracing.endpoint, where the traces go
{{- end }}
{{- if and .Values.tracing.endpoint (not (include "reviews-worker.isAddress" .Values.tracing.endpoint)) }}
tracing.endpoint={{ .Values.tracing.endpoint }} is no address: http:// or https://, a host, and a port of 1 to 65535
{{- end }}
{{- end }}

{{- define "reviews-worker.scalingProblems" -}}
{{- $scaling := .Values.scaling -}}
{{- $partitions := int .Values.kafka.inputPartitions -}}
{{- $max := int (include "reviews-worker.maxReplicas" .) -}}
{{- if ne $scaling.kind "fixed" }}
{{- if gt $max $partitions }}
scaling.max={{ $max }} is more than kafka.inputPartitions={{ $partitions }}: a worker without a partition stands idle
{{- end }}
{{- if gt (int $scaling.min) $max }}
scaling.min={{ $scaling.min }} is more than scaling.max={{ $max }}
{{- end }}
{{- if eq .Values.workload.kind "StatefulSet" }}
workload.kind=StatefulSet needs scaling.kind=fixed: a static member that is scaled away leaves its partitions unread for session_timeout_s
{{- end }}
{{- end }}
{{- if and (eq $scaling.kind "hpa") (lt (int $scaling.min) 1) }}
scaling.kind=hpa needs scaling.min of 1 or more; only keda goes down to 0
{{- end }}
{{- if and (eq $scaling.kind "hpa") (include "reviews-worker.hasGpu" .) (not $scaling.hpa.metrics) }}
scaling.kind=hpa with a GPU needs scaling.hpa.metrics: the CPU says little about a GPU
{{- end }}
{{- if and (eq $scaling.kind "hpa") (not $scaling.hpa.metrics) }}
{{- $request := get (.Values.resources.requests | default dict) "cpu" }}
{{- $limit := get (.Values.resources.limits | default dict) "cpu" }}
{{- $wanted := int $scaling.hpa.cpuUtilization }}
{{- $least := include "reviews-worker.millicores" $request }}
{{- $most := include "reviews-worker.millicores" $limit }}
{{- if or (not $request) (eq $least "0") }}
scaling.kind=hpa needs resources.requests.cpu, which the use of the CPU is a share of
{{- else if and $least $most (le (mulf $most 1000) (mulf $least $wanted 11)) }}
{{- /* The HPA acts when the use is more than a tenth above what is wanted. */}}
{{- $reachable := sub (divf (mulf $most 1000) (mulf $least 11) | ceil | int) 1 }}
scaling.hpa.cpuUtilization={{ $wanted }} is never exceeded by the tenth from which the HPA acts: with resources.requests.cpu={{ $request }} and resources.limits.cpu={{ $limit }} take {{ $reachable }} or less, or another request or limit
{{- end }}
{{- end }}
{{- if eq $scaling.kind "keda" }}
{{- if eq $scaling.keda.by "drainTime" }}
{{- if not $scaling.keda.prometheusServer }}
scaling.keda.by=drainTime needs scaling.keda.prometheusServer
{{- end }}
{{- if lt (int $scaling.min) 1 }}
scaling.keda.by=drainTime needs scaling.min of 1 or more: without a worker there are no metrics of it
{{- end }}
{{- else if and (not $scaling.keda.triggerAuthentication) (eq "none" (include "reviews-worker.kedaSasl" .)) }}
scaling.keda.by=lag cannot log in as the worker does (kafka.sasl): name a TriggerAuthentication of your own in scaling.keda.triggerAuthentication, or take scaling.keda.by=drainTime
{{- end }}
{{- end }}
{{- end }}
