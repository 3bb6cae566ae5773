{{- /* Matchers of the metrics of this release's workers, and of no other's: "rw" does not match the pods of "rw-eu". The name
of a Deployment's pod has no second dash where the full name is long. */}}
{{- define "reviews-worker.ownSeries" -}}
namespace={{ .Release.Namespace | quote }},pod=~"{{ include "reviews-worker.fullname" . }}-[a-z0-9]+(-[a-z0-9]{5})?"
{{- end }}

{{- /* Groups of alerting rules as YAML: those of files/alerts.yaml, each metric with the matchers above; without the one for
absent workers where none may be right; and with links that lead somewhere. */}}
{{- define "reviews-worker.alertGroups" -}}
{{- $matchers := include "reviews-worker.ownSeries" . -}}
{{- $mayBeNone := eq 0 (int (ternary .Values.scaling.replicas .Values.scaling.min (eq .Values.scaling.kind "fixed"))) -}}
{{- $groups := list -}}
{{- range (.Files.Get "files/alerts.yaml" | fromYaml).groups -}}
{{- $rules := list -}}
{{- range $rule := .rules -}}
{{- if not (and $mayBeNone (eq $rule.alert "ReviewsWorkerAbsent")) -}}
{{- $expr := regexReplaceAll "\\b((?:reviews_worker|process)_[a-z_]+)\\b(\\{)?" $rule.expr (printf "${1}{%s}${2}" $matchers) -}}
{{- $_ := set $rule "expr" ($expr | replace "}{" ",") -}}
{{- with $.Values.alerts.runbookBaseUrl -}}
{{- $_ := set $rule.annotations "runbook_url" (printf "%s/%s" (trimSuffix "/" .) $rule.annotations.runbook_url) -}}
{{- end -}}
{{- $rules = append $rules $rule -}}
{{- end -}}
{{- end -}}
{{- $groups = append $groups (set . "rules" $rules) -}}
{{- end -}}
{{- toYaml $groups -}}
{{- end }}
