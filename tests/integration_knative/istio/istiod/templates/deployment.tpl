apiVersion: apps/v1
kind: Deployment
metadata:
  name: istiod
  namespace: {{ .Release.Namespace }}
spec:
  replicas: {{ .Values.autoscaleMin }}
  selector:
    matchLabels: {istio: pilot}
  template:
    metadata:
      labels: {app: istiod, istio: pilot}
    spec:
      topologySpreadConstraints: {{ .Values.topologySpreadConstraints | toJson }}
      containers:
        - name: envoy
          image: {{ .Values.image }}
          imagePullPolicy: IfNotPresent
          args: [--config-yaml, "admin: {}"]
          resources:
            requests: {cpu: 5m}
