{{- define "reviews-worker.name" -}}
{{- .Values.nameOverride | default .Chart.Name | trunc 52 | trimSuffix "-" -}}
{{- end }}

{{- /* At most 52 characters, so that the longest suffix fits into 63; a dot, which a release may have, is none of a Service. */}}
{{- define "reviews-worker.fullname" -}}
{{- $name := include "reviews-worker.name" . -}}
{{- $release := .Release.Name | replace "." "-" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 52 | trimSuffix "-" -}}
{{- else if contains $name $release -}}
{{- $release | trunc 52 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" $release $name | trunc 52 | trimSuffix "-" -}}
{{- end -}}
{{- end }}

{{- define "reviews-worker.releaseLabels" -}}
app.kubernetes.io/name: {{ include "reviews-worker.name" . | quote }}
app.kubernetes.io/instance: {{ .Release.Name | quote }}
{{- end }}

{{- /* What selects the workers, and neither the job nor the test. Fixed for the life of a release. */}}
{{- define "reviews-worker.selectorLabels" -}}
{{ include "reviews-worker.releaseLabels" . }}
app.kubernetes.io/component: worker
{{- end }}

{{- define "reviews-worker.labels" -}}
{{ include "reviews-worker.releaseLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service | quote }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | quote }}
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- /* The labels, and those of a list's second: one that both have is the second's, for YAML takes no key twice. */}}
{{- define "reviews-worker.labelsAnd" -}}
{{ mergeOverwrite (include "reviews-worker.labels" (first .) | fromYaml) (last . | default dict) | toYaml }}
{{- end }}

{{- define "reviews-worker.metadata" -}}
{{ include "reviews-worker.metadataAnd" (list . dict) }}
{{- end }}

{{- /* With labels of the object's own. */}}
{{- define "reviews-worker.metadataAnd" -}}
{{- $root := first . -}}
name: {{ include "reviews-worker.fullname" $root | quote }}
namespace: {{ $root.Release.Namespace | quote }}
labels:
  {{- include "reviews-worker.labelsAnd" . | nindent 2 }}
{{- end }}

{{- define "reviews-worker.serviceAccountName" -}}
{{- .Values.serviceAccount.name | default (ternary (include "reviews-worker.fullname" .) "default" .Values.serviceAccount.create) -}}
{{- end }}

{{- /* "true" when the workers have a GPU, whichever way it was asked for. */}}
{{- define "reviews-worker.hasGpu" -}}
{{- if or .Values.gpu.enabled (hasKey (.Values.resources.limits | default dict) .Values.gpu.resource) -}}true{{- end -}}
{{- end }}

{{- define "reviews-worker.image" -}}
{{- include "reviews-worker.imageOf" (list . (ternary "cuda" "cpu" (eq "true" (include "reviews-worker.hasGpu" .)))) -}}
{{- end }}

{{- /* "true" when the name of the image begins with a host, as `docker pull` understands it. */}}
{{- define "reviews-worker.hasRegistry" -}}
{{- $parts := splitList "/" .Values.image.repository -}}
{{- $host := first $parts -}}
{{- if and (gt (len $parts) 1) (or (contains "." $host) (contains ":" $host) (eq $host "localhost")) -}}true{{- end -}}
{{- end }}

{{- /* Of the job and the test: they compute nothing, so gigabytes of CUDA are not waited for. */}}
{{- define "reviews-worker.commandImage" -}}
{{- include "reviews-worker.imageOf" (list . "cpu") -}}
{{- end }}

{{- define "reviews-worker.imageOf" -}}
{{- $variant := index . 1 -}}
{{- with index . 0 -}}
{{- if .Values.image.digest -}}
{{- printf "%s@%s" .Values.image.repository .Values.image.digest -}}
{{- else -}}
{{- printf "%s:%s" .Values.image.repository (.Values.image.tag | default (printf "%s-%s" .Chart.AppVersion $variant)) -}}
{{- end -}}
{{- end -}}
{{- end }}
