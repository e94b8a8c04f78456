apiVersion: v1
kind: Service
metadata:
  name: {{ .Release.Name }}
  namespace: {{ .Release.Namespace }}
spec:
  type: {{ .Values.service.type }}
  ports: {{ .Values.service.ports | toJson }}
  selector: {istio: {{ .Release.Name | trimPrefix "istio-" }}}
