#!/usr/bin/env bash
# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# The equivalent of playbooks/site.yml on inventories/local in Standard mode, written with kubectl, helm and aws: from
# the bare cluster of `make up` to a prediction over TLS. It is idempotent. benchmarks/platform.py compares the two.
#
#   benchmarks/platform.sh STATE_FOLDER HTTPS_PORT S3_PORT PYTHON
set -euo pipefail
state=$1 https_port=$2 s3_port=$3 python=$4
here=$(cd "$(dirname "$0")/by_hand" && pwd)
work=$state/by-hand
domain=ml.hashfoundry.local
bucket=hashfoundry-ml-models
model=$work/models/iris-classifier/v1
export KUBECONFIG=$state/kubeconfig

apply() { kubectl apply --server-side --filename - >/dev/null; }
stage() { printf '%(%s)T %s\n' -1 "$1"; }

# certificate NAME DNS_NAME...: NAME.crt and NAME.key, signed by the CA.
certificate() {
  local name=$1 names
  shift
  names=$(printf ',DNS:%s' "$@")
  [ -f "$work/$name.crt" ] && return
  openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj "/CN=$name" \
    -keyout "$work/$name.key" -out "$work/$name.csr" 2>/dev/null
  openssl x509 -req -in "$work/$name.csr" -CA "$work/ca.crt" -CAkey "$work/ca.key" -CAcreateserial -days 90 \
    -extfile <(printf 'subjectAltName=%s\nextendedKeyUsage=serverAuth\n' "${names#,}") -out "$work/$name.crt" 2>/dev/null
}

tls_secret() {
  kubectl create secret tls "$2" --namespace "$1" --cert "$work/$2.crt" --key "$work/$2.key" --dry-run=client \
    --output yaml | apply
}

umask 077
mkdir -p "$work/kserve" "$work/contour"

stage "namespaces"
address=$(kubectl get nodes --output 'jsonpath={.items[0].status.addresses[?(@.type=="InternalIP")].address}')
# A separate field manager, because Contour's manifest contains its namespace without labels.
sed "s/NODE_ADDRESS/$address/" "$here/namespaces.yaml" \
  | kubectl apply --server-side --field-manager namespaces --filename - >/dev/null

stage "certificates"
if [ ! -f "$work/ca.crt" ]; then
  openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 3650 -subj "/CN=models CA" \
    -keyout "$work/ca.key" -out "$work/ca.crt" 2>/dev/null
fi
certificate kserve-webhook-server-cert kserve-webhook-server-service.kserve.svc \
  kserve-webhook-server-service.kserve.svc.cluster.local
certificate models-tls "*.$domain"
tls_secret kserve kserve-webhook-server-cert
tls_secret projectcontour models-tls

stage "gateway"
cp "$here/contour.yaml" "$work/contour/kustomization.yaml"
cp "$state/sources/contour/examples/render/contour-gateway-provisioner.yaml" "$work/contour/"
kubectl kustomize "$work/contour" | apply
kubectl wait --for=condition=Established crd/gateways.gateway.networking.k8s.io \
  crd/gatewayclasses.gateway.networking.k8s.io crd/contourdeployments.projectcontour.io --timeout=60s >/dev/null
kubectl apply --server-side --filename "$here/gateway.yaml" >/dev/null
kubectl wait --for=condition=Programmed gateway/models --namespace projectcontour --timeout=300s >/dev/null

stage "kserve"
charts=$state/sources/kserve/charts
helm upgrade --install kserve-crd "$charts/kserve-crd" --namespace kserve --wait >/dev/null
# The chart requests the certificate of the webhooks from cert-manager. A post-renderer replaces that here.
cat >"$work/kserve/kustomization.yaml" <<END
resources: [all.yaml]
patches:
  - patch: '{"apiVersion": "cert-manager.io/v1", "kind": "Certificate", "metadata": {"name": "serving-cert", "namespace": "kserve"}, "\$patch": "delete"}'
  - patch: '{"apiVersion": "cert-manager.io/v1", "kind": "Issuer", "metadata": {"name": "selfsigned-issuer", "namespace": "kserve"}, "\$patch": "delete"}'
  - target: {kind: MutatingWebhookConfiguration|ValidatingWebhookConfiguration}
    patch: '[{"op": "add", "path": "/webhooks/0/clientConfig/caBundle", "value": "$(base64 -w0 "$work/ca.crt")"}]'
  - target: {kind: MutatingWebhookConfiguration}
    patch: '[{"op": "add", "path": "/webhooks/1/clientConfig/caBundle", "value": "$(base64 -w0 "$work/ca.crt")"}]'
END
cat >"$work/kserve/render.sh" <<END
#!/bin/sh
cat >"$work/kserve/all.yaml" && exec kubectl kustomize "$work/kserve"
END
chmod 700 "$work/kserve/render.sh"
helm upgrade --install kserve "$charts/kserve-resources" --namespace kserve --values "$here/kserve.yaml" \
  --post-renderer "$work/kserve/render.sh" --wait >/dev/null
# Ready pods are not always reachable at once: the first connections to the webhooks' Service may fail.
for attempt in 1 2 3 4 5; do
  helm upgrade --install kserve-runtimes "$charts/kserve-runtime-configs" --namespace kserve \
    --values "$here/runtimes.yaml" >/dev/null && break
  [ "$attempt" -lt 5 ]
  sleep 1
done

stage "object storage"
[ -f "$work/s3-secret-key" ] || openssl rand -hex 20 >"$work/s3-secret-key"
secret_key=$(cat "$work/s3-secret-key")
kubectl create secret generic object-storage --namespace object-storage --dry-run=client --output yaml \
  --from-literal ROOT_ACCESS_KEY=local-owner --from-literal "ROOT_SECRET_KEY=$secret_key" | apply
kubectl apply --server-side --filename "$here/object-storage.yaml" >/dev/null
kubectl rollout status deployment/object-storage --namespace object-storage --timeout=300s >/dev/null

stage "model"
[ -f "$model/metadata.json" ] || "$python" -m model.iris --output "$model" --version v1 >/dev/null
export AWS_ACCESS_KEY_ID=local-owner AWS_SECRET_ACCESS_KEY=$secret_key AWS_REGION=us-east-1
export AWS_ENDPOINT_URL=http://127.0.0.1:$s3_port
aws s3api head-bucket --bucket "$bucket" >/dev/null 2>&1 || aws s3 mb "s3://$bucket" >/dev/null
aws s3 sync --only-show-errors "$model/" "s3://$bucket/iris-classifier/v1/"

stage "serving"
kubectl create secret generic model-reader --namespace ml-models --dry-run=client --output yaml \
  --from-literal AWS_ACCESS_KEY_ID=local-owner --from-literal "AWS_SECRET_ACCESS_KEY=$secret_key" \
  | kubectl annotate --local --filename - --output yaml \
    serving.kserve.io/s3-endpoint=object-storage.object-storage.svc.cluster.local:7070 \
    serving.kserve.io/s3-usehttps=0 serving.kserve.io/s3-verifyssl=0 serving.kserve.io/s3-region=us-east-1 | apply
kubectl apply --server-side --filename "$here/models.yaml" >/dev/null
kubectl wait --for=condition=Ready inferenceservice/iris-classifier --namespace ml-models --timeout=300s >/dev/null

stage "prediction"
host=iris-classifier.$domain
curl --silent --show-error --fail-with-body --retry 60 --retry-delay 1 --retry-all-errors --cacert "$work/ca.crt" \
  --resolve "$host:$https_port:127.0.0.1" "https://$host:$https_port/v1/models/iris-classifier:predict" \
  --header 'Content-Type: application/json' --data '{"instances": [[5.1,3.5,1.4,0.2],[6.7,3.1,5.6,2.4]]}' 2>/dev/null
echo
stage "end"
