{{- define "antiphon.name" -}}
{{- .Chart.Name | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{- define "antiphon.fullname" -}}
{{- if contains .Chart.Name .Release.Name -}}
{{- .Release.Name | trunc 63 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name .Chart.Name | trunc 63 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "antiphon.selector" -}}
app.kubernetes.io/name: {{ include "antiphon.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "antiphon.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{ include "antiphon.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end -}}

{{- /* Texts by their names: `ours`, in YAML, and `theirs`, values that come beside them or in their place. Helm holds a
whole number as a float, which it would write as 1e+06. */ -}}
{{- define "antiphon.texts" -}}
{{- $texts := fromYaml .ours -}}
{{- range $name, $value := .theirs -}}
{{- $_ := set $texts $name (kindIs "string" $value | ternary $value (toJson $value)) -}}
{{- end -}}
{{- toYaml $texts -}}
{{- end -}}

{{- define "antiphon.secret" -}}
{{- .Values.secrets.existing | default (include "antiphon.fullname" .) -}}
{{- end -}}

{{- /* Whether the Secret, ours or yours, has the operator token. Yours cannot be looked into. */ -}}
{{- define "antiphon.operators" -}}
{{- if or .Values.secrets.existing .Values.secrets.values.ANTIPHON_OPERATOR_TOKEN -}}yes{{- end -}}
{{- end -}}

{{- define "antiphon.serviceAccount" -}}
{{- if .Values.serviceAccount.create -}}
{{- .Values.serviceAccount.name | default (include "antiphon.fullname" .) -}}
{{- else -}}
{{- .Values.serviceAccount.name | default "default" -}}
{{- end -}}
{{- end -}}

{{- define "antiphon.several" -}}
{{- if or .Values.autoscaling.enabled (gt (int .Values.replicas) 1) -}}yes{{- end -}}
{{- end -}}
