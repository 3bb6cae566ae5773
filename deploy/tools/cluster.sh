#!/usr/bin/env bash
# A Kubernetes control plane on the loopback interface, for tests; no container engine, no root.
#   cluster.sh up   [BIN_DIR [STATE_DIR]]   prints the path of its kubeconfig, and nothing else, on standard output
#   cluster.sh down [BIN_DIR [STATE_DIR]]   ends its processes, and removes STATE_DIR
# BIN_DIR is build/tools/bin (`make cluster-tools`), STATE_DIR build/cluster unless said otherwise. Several clusters can
# run at once, each with a STATE_DIR of its own.
#
# etcd, kube-apiserver, kube-controller-manager and kube-scheduler are the real ones; KWOK plays the kubelets of two nodes
# (kwok-stages.yaml says how). Containers, probes, commands, volumes and images do not run, and NetworkPolicies are kept
# but not enforced. The definitions in BIN_DIR/../crds are installed.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
command=${1:-}
bin=${2:-$root/build/tools/bin}
state=${3:-$root/build/cluster}
parts="etcd kube-apiserver kube-controller-manager kube-scheduler kwok"

fail() {
    echo "error: $*" >&2
    exit "${code:-1}"
}

# By the ids of the processes that were started here, newest first; an id that now belongs to another program is left alone.
down() {
    local part pid
    for part in kwok kube-scheduler kube-controller-manager kube-apiserver etcd; do
        [ -f "$state/$part.pid" ] || continue
        pid=$(<"$state/$part.pid")
        if runs "$part" "$pid"; then
            kill "$pid" 2>/dev/null || true
            # The API server waits for its watchers longer than anybody wants to wait for it.
            for _ in $(seq 10); do runs "$part" "$pid" || break; sleep .1; done
            kill -9 "$pid" 2>/dev/null || true
            for _ in $(seq 50); do runs "$part" "$pid" || break; sleep .1; done
        fi
        rm -f "$state/$part.pid"
    done
}

runs() {
    case "$(ps -o args= -p "$2" 2>/dev/null)" in
        "$bin/$1 "*) ;;
        *) return 1 ;;
    esac
}

forget() {
    [ ! -e "$state" ] || [ -d "$state/pki" ] || [ -z "$(ls -A "$state")" ] || fail "$state is not the state of a cluster"
    down
    rm -rf "$state"
}

[ ! -d "$bin" ] || bin=$(cd "$bin" && pwd)
case $command in
    up) ;;
    down)
        forget
        exit 0
        ;;
    *) code=2 fail "usage: cluster.sh up|down [BIN_DIR [STATE_DIR]]" ;;
esac

for program in $parts kubectl; do
    [ -x "$bin/$program" ] || fail "there is no $bin/$program: make cluster-tools"
done
for program in openssl python3 setsid ps; do
    command -v "$program" >/dev/null || fail "$program is not installed"
done
forget
mkdir -p "$state/pki"
state=$(cd "$state" && pwd)
pki=$state/pki

when_it_fails() {
    local status=$? log
    [ $status = 0 ] && return
    for log in "$state"/*.log; do
        echo "== the end of $log" >&2
        tail -n 5 "$log" >&2
    done
    down
}
trap when_it_fails EXIT

read -r etcd_port peer_port api_port manager_port scheduler_port kwok_port < <(python3 -c '
import socket
sockets = [socket.socket() for _ in range(6)]
for s in sockets: s.bind(("127.0.0.1", 0))
print(*[s.getsockname()[1] for s in sockets])')

start() {
    setsid "$bin/$1" "${@:2}" >"$state/$1.log" 2>&1 </dev/null &
    echo $! >"$state/$1.pid"
}

wait_for() {
    local part=$1
    shift
    for _ in $(seq 600); do
        "$@" >/dev/null 2>&1 && return
        kill -0 "$(<"$state/$part.pid")" 2>/dev/null || fail "$part ended while it started"
        sleep .1
    done
    fail "$part is not ready after a minute"
}

start etcd --name one --data-dir "$state/etcd" --unsafe-no-fsync --log-level warn \
    --listen-client-urls "http://127.0.0.1:$etcd_port" --advertise-client-urls "http://127.0.0.1:$etcd_port" \
    --listen-peer-urls "http://127.0.0.1:$peer_port" --initial-advertise-peer-urls "http://127.0.0.1:$peer_port" \
    --initial-cluster "one=http://127.0.0.1:$peer_port"

# A certificate authority of its own: with a self-signed certificate the API server complains without end.
openssl genrsa -out "$state/accounts.key" 2048 2>/dev/null
openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=test-ca -keyout "$pki/ca.key" -out "$pki/ca.crt" \
    -addext keyUsage=critical,keyCertSign,digitalSignature 2>/dev/null
openssl req -newkey rsa:2048 -nodes -subj /CN=kube-apiserver -keyout "$pki/api.key" -out "$pki/api.csr" 2>/dev/null
openssl x509 -req -days 2 -in "$pki/api.csr" -CA "$pki/ca.crt" -CAkey "$pki/ca.key" -CAcreateserial -out "$pki/api.crt" \
    -extfile <(echo "subjectAltName=IP:127.0.0.1,DNS:localhost,DNS:kubernetes.default.svc") 2>/dev/null
token=$(openssl rand -hex 16)
(umask 077 && echo "$token,admin,admin,system:masters" >"$state/tokens.csv")

start kube-apiserver --etcd-servers "http://127.0.0.1:$etcd_port" --endpoint-reconciler-type none \
    --bind-address 127.0.0.1 --advertise-address 127.0.0.1 --secure-port "$api_port" \
    --tls-cert-file "$pki/api.crt" --tls-private-key-file "$pki/api.key" \
    --service-cluster-ip-range 10.96.0.0/24 --authorization-mode RBAC --token-auth-file "$state/tokens.csv" \
    --allow-privileged=true --service-account-issuer https://kubernetes.default.svc.cluster.local \
    --service-account-key-file "$state/accounts.key" --service-account-signing-key-file "$state/accounts.key"

(umask 077 && cat >"$state/kubeconfig" <<YAML
apiVersion: v1
kind: Config
clusters: [{name: test, cluster: {server: "https://127.0.0.1:$api_port", certificate-authority: "$pki/ca.crt"}}]
users: [{name: admin, user: {token: "$token"}}]
contexts: [{name: test, context: {cluster: test, user: admin, namespace: default}}]
current-context: test
YAML
)
export KUBECONFIG=$state/kubeconfig
kubectl() {
    "$bin/kubectl" --request-timeout=5s "$@"
}
wait_for kube-apiserver kubectl get --raw /readyz

with_kubeconfig() {
    echo --kubeconfig "$KUBECONFIG" --authentication-kubeconfig "$KUBECONFIG" --authorization-kubeconfig "$KUBECONFIG" \
        --authentication-skip-lookup --bind-address 127.0.0.1 --leader-elect=false
}
# shellcheck disable=SC2046  # words are wanted
start kube-controller-manager $(with_kubeconfig) --secure-port "$manager_port" \
    --service-account-private-key-file "$state/accounts.key" --root-ca-file "$pki/ca.crt"
# shellcheck disable=SC2046
start kube-scheduler $(with_kubeconfig) --secure-port "$scheduler_port"
# Without leases of its nodes every pod turns unready after half a minute.
start kwok --kubeconfig "$KUBECONFIG" --config "$here/kwok-stages.yaml" --manage-all-nodes=true \
    --node-lease-duration-seconds 40 --server-address "127.0.0.1:$kwok_port"

for zone in a b; do
    cat <<YAML
---
apiVersion: v1
kind: Node
metadata:
  name: node-$zone
  labels: {kubernetes.io/hostname: node-$zone, kubernetes.io/os: linux, kubernetes.io/arch: amd64,
           topology.kubernetes.io/zone: zone-$zone, type: kwok}
status:
  capacity: {cpu: "8", memory: 32Gi, ephemeral-storage: 100Gi, pods: "110", nvidia.com/gpu: "1"}
  allocatable: {cpu: "8", memory: 32Gi, ephemeral-storage: 100Gi, pods: "110", nvidia.com/gpu: "1"}
YAML
done | kubectl apply -f - >/dev/null
if [ -d "$bin/../crds" ]; then
    kubectl apply --server-side -f "$bin/../crds/" >/dev/null
    wait_for kube-apiserver kubectl wait --for=condition=Established crd --all --timeout=4s
fi
wait_for kwok kubectl wait --for=condition=Ready node --all --timeout=4s
wait_for kube-controller-manager kubectl -n default get serviceaccount default
echo "$KUBECONFIG"
