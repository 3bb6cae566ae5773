{{- /* Folder of the artifact in the container; empty for the bundled model. */}}
{{- define "reviews-worker.modelFolder" -}}
{{- if eq .Values.model.source "hub" -}}
/models/artifact
{{- else if eq .Values.model.source "image" -}}
{{- with .Values.model.path }}{{ printf "/%s" . }}{{ end -}}
{{- else -}}
{{- printf "/models/%s" .Values.model.path | trimSuffix "/" -}}
{{- end -}}
{{- end }}

{{- /* Source of the volume with the model; empty for the bundled one. */}}
{{- define "reviews-worker.modelSource" -}}
{{- with .Values.model -}}
{{- if eq .source "pvc" -}}
persistentVolumeClaim:
  claimName: {{ .pvc.claim | quote }}
  readOnly: true
{{- else if eq .source "imageVolume" -}}
image:
  reference: {{ .imageVolume.reference | quote }}
  pullPolicy: {{ .imageVolume.pullPolicy }}
{{- else if eq .source "hub" -}}
emptyDir:
  sizeLimit: {{ .hub.sizeLimit | quote }}
{{- end -}}
{{- end -}}
{{- end }}

{{- /* The init container that turns a repository of the hub into an artifact. */}}
{{- define "reviews-worker.importContainer" -}}
{{- $hub := .Values.model.hub -}}
- name: import-model
  image: {{ printf "%s:%s" ($hub.image.repository | default .Values.image.repository) ($hub.image.tag | default (printf "%s-convert" .Chart.AppVersion)) | quote }}
  imagePullPolicy: {{ .Values.image.pullPolicy }}
  args:
    - model
    - import
    - {{ $hub.repository | quote }}
    - --out=/models/artifact
    - --replace
    - --cache=/models/cache
    - --precision={{ $hub.precision }}
    {{- with $hub.revision }}
    - {{ printf "--revision=%s" . | quote }}
    {{- end }}
    {{- with $hub.labels }}
    - {{ join "," . | printf "--labels=%s" | quote }}
    {{- end }}
    {{- if $hub.token.secret }}
    - --token-file={{ include "reviews-worker.folder" "hub-token/token" }}
    {{- end }}
  env:
    - {name: HOME, value: /tmp}
    - {name: HF_HOME, value: /models/cache}
    {{- with .Values.extraEnv }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  resources:
    {{- toYaml $hub.resources | nindent 4 }}
  securityContext:
    {{- toYaml .Values.securityContext | nindent 4 }}
  volumeMounts:
    - {name: tmp, mountPath: /tmp}
    - {name: model, mountPath: /models}
    {{- if $hub.token.secret }}
    - {name: hub-token, mountPath: {{ include "reviews-worker.folder" "hub-token" }}, readOnly: true}
    {{- end }}
    {{- with .Values.extraVolumeMounts }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
{{- end }}
