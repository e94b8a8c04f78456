#!/bin/sh
# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# The rollout of a model version as a user would script it with aws and kubectl, and curl until the version serves.
# Environment variables: NAMESPACE, NAME, VERSION, FOLDER (of the version, on this machine), BUCKET, STORAGE (s3
# or pvc), URL (of the model), RESOLVE (host:port:address) and CA; KUBECONFIG and the variables of AWS's tools.
set -eu
aws s3 sync --no-progress "$FOLDER" "s3://$BUCKET/$NAME/$VERSION/"
uri=s3://$BUCKET/$NAME/$VERSION/
if [ "$STORAGE" = pvc ]; then
  # A loader Job with KServe's storage initializer and the credentials of the bucket.
  kubectl apply --namespace "$NAMESPACE" --filename - <<EOF
apiVersion: batch/v1
kind: Job
metadata: {name: load-$NAME-$VERSION}
spec:
  template:
    spec:
      restartPolicy: Never
      securityContext:
        {runAsUser: 1000, runAsGroup: 1000, fsGroup: 1000, runAsNonRoot: true, seccompProfile: {type: RuntimeDefault}}
      containers:
        - name: loader
          image: docker.io/kserve/storage-initializer:v0.20.0
          args: ["$uri", "/models/$NAME/$VERSION"]
          env:
            - name: AWS_ACCESS_KEY_ID
              valueFrom: {secretKeyRef: {name: model-reader, key: AWS_ACCESS_KEY_ID}}
            - name: AWS_SECRET_ACCESS_KEY
              valueFrom: {secretKeyRef: {name: model-reader, key: AWS_SECRET_ACCESS_KEY}}
            - {name: AWS_ENDPOINT_URL, value: "http://object-storage.object-storage.svc.cluster.local:7070"}
            - {name: AWS_DEFAULT_REGION, value: us-east-1}
          resources: {requests: {cpu: 100m, memory: 256Mi}, limits: {cpu: "1", memory: 1Gi}}
          securityContext: {allowPrivilegeEscalation: false, capabilities: {drop: [ALL]}}
          volumeMounts: [{name: models, mountPath: /models}]
      volumes:
        - name: models
          persistentVolumeClaim: {claimName: models}
EOF
  kubectl wait --namespace "$NAMESPACE" --for=condition=Complete --timeout=300s "job/load-$NAME-$VERSION"
  uri=pvc://models/$NAME/$VERSION
fi
kubectl patch inferenceservice "$NAME" --namespace "$NAMESPACE" --type=merge \
  --patch "{\"spec\": {\"predictor\": {\"model\": {\"storageUri\": \"$uri\"}}}}"
until curl --silent --fail --max-time 5 --cacert "$CA" --resolve "$RESOLVE" "$URL" |
  grep --quiet "\"versions\":\[\"$VERSION\"\]"; do
  sleep 0.2
done
kubectl rollout status "deployment/$NAME-predictor" --namespace "$NAMESPACE" --timeout=300s
