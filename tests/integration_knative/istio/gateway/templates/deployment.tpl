apiVersion: apps/v1
kind: Deployment
metadata:
  name: {{ .Release.Name }}
  namespace: {{ .Release.Namespace }}
spec:
  replicas: {{ .Values.autoscaling.minReplicas }}
  selector:
    matchLabels: {istio: {{ .Release.Name | trimPrefix "istio-" }}}
  template:
    metadata:
      labels: {app: {{ .Release.Name }}, istio: {{ .Release.Name | trimPrefix "istio-" }}}
    spec:
      topologySpreadConstraints: {{ .Values.topologySpreadConstraints | toJson }}
      containers:
        - name: envoy
          image: {{ .Values.image }}
          imagePullPolicy: IfNotPresent
          args: [--config-yaml, "admin: {}"]
          resources:
            requests: {cpu: 5m}
