apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingWebhookConfiguration
metadata:
  name: istiod-default-validator
webhooks:
  - name: validation.istio.io
    clientConfig:
      service: {name: istiod, namespace: {{ .Release.Namespace }}, path: /validate}
{{- with .Values.base.validationCABundle }}
      caBundle: {{ . }}
{{- end }}
    rules:
      - operations: [CREATE, UPDATE]
        apiGroups: [telemetry.istio.io]
        apiVersions: ["*"]
        resources: ["*"]
    failurePolicy: Ignore
    sideEffects: None
    admissionReviewVersions: [v1]
