{{- with .Values.podDisruptionBudget }}
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata:
  name: {{ $.Release.Name }}
  namespace: {{ $.Release.Namespace }}
spec:
  {{- toYaml . | nindent 2 }}
  selector:
    matchLabels: {istio: {{ $.Release.Name | trimPrefix "istio-" }}}
{{- end }}
