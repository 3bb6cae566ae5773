{{- /* Parts that the workers, the job and the test share, so that all of them reach Kafka in the same way. */}}
{{- define "reviews-worker.podBasics" -}}
automountServiceAccountToken: false
enableServiceLinks: false
{{- with .Values.image.pullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . | quote }}
  {{- end }}
{{- end }}
securityContext:
  {{- toYaml .Values.podSecurityContext | nindent 2 }}
{{- with .Values.priorityClassName }}
priorityClassName: {{ . | quote }}
{{- end }}
{{- end }}

{{- /* Where the job and the test run: where the workers do, except that they need no node with a GPU. */}}
{{- define "reviews-worker.commandPlacement" -}}
{{- with .Values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- if not (include "reviews-worker.hasGpu" .) }}
{{- with .Values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}
{{- end }}

{{- define "reviews-worker.containerBasics" -}}
imagePullPolicy: {{ .Values.image.pullPolicy }}
securityContext:
  {{- toYaml .Values.securityContext | nindent 2 }}
{{- end }}

{{- define "reviews-worker.sharedMounts" -}}
- {name: tmp, mountPath: /tmp}
{{- range $name, $_ := include "reviews-worker.kafkaSources" . | fromYaml }}
- {name: {{ $name }}, mountPath: {{ include "reviews-worker.folder" $name }}, readOnly: true}
{{- end }}
{{- with .Values.extraVolumeMounts }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- define "reviews-worker.sharedVolumes" -}}
- name: tmp
  emptyDir: {sizeLimit: 256Mi}
{{- range $name, $source := include "reviews-worker.kafkaSources" . | fromYaml }}
- name: {{ $name }}
  {{- toYaml $source | nindent 2 }}
{{- end }}
{{- with .Values.extraVolumes }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- /* The pod of a worker, for a Deployment and for a StatefulSet. */}}
{{- define "reviews-worker.podTemplate" -}}
metadata:
  labels:
    {{- include "reviews-worker.selectorLabels" . | nindent 4 }}
    {{- with .Values.podLabels }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  annotations:
    # Another configuration or another model rolls the workers; the files of Secrets are read again without that.
    checksum/config: {{ include "reviews-worker.environment" . | sha256sum | quote }}
    checksum/model: {{ toJson .Values.model | sha256sum | quote }}
    kubectl.kubernetes.io/default-container: worker
    {{- with .Values.podAnnotations }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
spec:
  {{- include "reviews-worker.podBasics" . | nindent 2 }}
  serviceAccountName: {{ include "reviews-worker.serviceAccountName" . | quote }}
  terminationGracePeriodSeconds: {{ include "reviews-worker.terminationGracePeriodSeconds" . }}
  {{- with .Values.runtimeClassName }}
  runtimeClassName: {{ . | quote }}
  {{- end }}
  {{- with include "reviews-worker.placement" . | trim }}
  {{- . | nindent 2 }}
  {{- end }}
  {{- if eq .Values.model.source "hub" }}
  initContainers:
    {{- include "reviews-worker.importContainer" . | nindent 4 }}
  {{- end }}
  containers:
    - name: worker
      image: {{ include "reviews-worker.image" . | quote }}
      {{- include "reviews-worker.containerBasics" . | nindent 6 }}
      args: [run]
      envFrom:
        - configMapRef: {name: {{ include "reviews-worker.fullname" . | quote }}}
      {{- with include "reviews-worker.ownEnvironment" . }}
      {{- . | nindent 6 }}
      {{- end }}
      ports:
        - {name: metrics, containerPort: {{ .Values.metrics.port }}, protocol: TCP}
      {{- with .Values.probes.startup }}
      startupProbe:
        httpGet: {path: /healthz, port: metrics}
        {{- toYaml . | nindent 8 }}
      {{- end }}
      {{- with .Values.probes.liveness }}
      livenessProbe:
        httpGet: {path: /healthz, port: metrics}
        {{- toYaml . | nindent 8 }}
      {{- end }}
      {{- with .Values.probes.readiness }}
      readinessProbe:
        httpGet: {path: /readyz, port: metrics}
        {{- toYaml . | nindent 8 }}
      {{- end }}
      resources:
        {{- include "reviews-worker.resources" . | nindent 8 }}
      volumeMounts:
        {{- include "reviews-worker.sharedMounts" . | nindent 8 }}
        {{- if include "reviews-worker.modelSource" . }}
        - {name: model, mountPath: /models, readOnly: true}
        {{- end }}
  volumes:
    {{- include "reviews-worker.sharedVolumes" . | nindent 4 }}
    {{- with include "reviews-worker.modelSource" . }}
    - name: model
      {{- . | nindent 6 }}
    {{- end }}
    {{- if and (eq .Values.model.source "hub") .Values.model.hub.token.secret }}
    - name: hub-token
      secret:
        secretName: {{ .Values.model.hub.token.secret | quote }}
        defaultMode: 0440
        items:
          - {key: {{ .Values.model.hub.token.key | quote }}, path: token}
    {{- end }}
{{- end }}

{{- /* What differs from pod to pod. A static member is called by namespace and pod, so that no other release has its id. */}}
{{- define "reviews-worker.ownEnvironment" -}}
{{- if or (eq .Values.workload.kind "StatefulSet") .Values.extraEnv -}}
env:
  {{- if eq .Values.workload.kind "StatefulSet" }}
  - name: POD_NAME
    valueFrom: {fieldRef: {fieldPath: metadata.name}}
  - {name: REVIEWS_WORKER_GROUP_INSTANCE_ID, value: {{ printf "%s.$(POD_NAME)" .Release.Namespace | quote }}}
  {{- end }}
  {{- with .Values.extraEnv }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end -}}
{{- end }}

{{- define "reviews-worker.resources" -}}
{{- $resources := deepCopy .Values.resources -}}
{{- if .Values.gpu.enabled -}}
{{- $one := dict "limits" (dict .Values.gpu.resource 1) -}}
{{- $resources = mustMergeOverwrite $resources (deepCopy .Values.gpu.resources) $one -}}
{{- end -}}
{{- toYaml $resources -}}
{{- end }}

{{- define "reviews-worker.placement" -}}
{{- with .Values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.topologySpreadConstraints }}
topologySpreadConstraints:
  {{- range . }}
  - {{ toYaml . | nindent 4 | trim }}
    {{- if not .labelSelector }}
    labelSelector:
      matchLabels:
        {{- include "reviews-worker.selectorLabels" $ | nindent 8 }}
    {{- end }}
  {{- end }}
{{- end }}
{{- end }}

{{- /* What a command of the job or of the test needs: no model, a client of Kafka. */}}
{{- define "reviews-worker.commandResources" -}}
resources:
  requests: {cpu: 100m, memory: 128Mi, ephemeral-storage: 16Mi}
  limits: {cpu: "1", memory: 256Mi, ephemeral-storage: 256Mi}
{{- end }}
