# What the numbered scripts share. Each begins with:  . "$(dirname -- "$0")/lib.sh"
# They can be repeated at any time, ask nothing, and print no secret. With --dry-run they only say
# what they would do.
# shellcheck shell=sh disable=SC2034
set -eu

here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
root=$(CDPATH='' cd -- "$here/../.." && pwd)
# shellcheck source=deploy/minikube/settings.env
. "$here/settings.env"
step=$(basename -- "$0")
dry_run=no
purge=no

for argument in "$@"; do
    case "$argument" in
        --dry-run) dry_run=yes ;;
        --purge) purge=yes ;;
        --help)
            sed -n '2,/^$/s/^# \{0,1\}//p' "$0"
            echo "options: --dry-run; settings: deploy/minikube/settings.env"
            exit 0
            ;;
        *)
            echo "$step: unknown argument '$argument'; try --help" >&2
            exit 2
            ;;
    esac
done

say() { echo "[$step] $*"; }

fail() {
    echo "[$step] $*" >&2
    exit 1
}

# run COMMAND...: run it, or say it.
run() {
    if [ "$dry_run" = yes ]; then
        echo "+ $*"
    else
        "$@"
    fi
}

# on CLUSTER ARGUMENT...: kubectl in one cluster.
on() {
    cluster=$1
    shift
    run kubectl --context "$cluster" "$@"
}

# has COMMAND: whether it is installed.
has() { command -v "$1" > /dev/null 2>&1; }

# node_address CLUSTER SETTING: the setting, or the address that minikube gave the cluster.
node_address() {
    if [ -n "$2" ]; then
        echo "$2"
    elif [ "$dry_run" = yes ]; then
        echo 192.0.2.1
    else
        minikube --profile "$1" ip
    fi
}

# render KUSTOMIZATION: print its manifests with the real addresses of the other clusters, and the
# images of this version.
render() {
    bao_address=$(node_address "$ST_BAO" "$ST_BAO_ADDRESS")
    servers_address=$(node_address "$ST_SERVERS" "$ST_SERVERS_ADDRESS")
    kubectl kustomize "$here/$1" \
        | sed -e "s/- 192\\.0\\.2\\.1\$/- $bao_address/" \
            -e "s/- 192\\.0\\.2\\.2\$/- $servers_address/" \
            -e "s#\\(image: securetransport/[a-z]*\\):.*#\\1:$ST_VERSION#"
}

# deploy CLUSTER KUSTOMIZATION: apply it; a dry run renders it where kubectl can.
deploy() {
    if [ "$dry_run" = yes ]; then
        count="an unknown number of"
        if has kubectl; then
            count=$(render "$2" | grep -c '^kind:') || fail "$2 cannot be rendered"
        fi
        echo "+ kubectl --context $1 apply --server-side -f -  # $2: $count objects"
    else
        render "$2" | kubectl --context "$1" apply --server-side --force-conflicts -f -
    fi
}

# store CLUSTER NAMESPACE KIND NAME FILE...: a Secret or ConfigMap from files. What is in the files
# is on no command line and in no output; server-side, so that it is in no annotation either.
store() {
    cluster=$1 namespace=$2 kind=$3 name=$4
    shift 4
    if [ "$dry_run" = yes ]; then
        echo "+ kubectl --context $cluster --namespace $namespace apply --server-side -f -" \
            " # $kind $name from $*"
        return
    fi
    sources=
    for source in "$@"; do
        [ -f "${source#*=}" ] || fail "${source#*=} is missing; run the steps before this one"
        sources="$sources --from-file=$source"
    done
    [ "$kind" = secret ] && kind="secret generic"
    # The words are options and paths of ours, split on purpose.
    # shellcheck disable=SC2086
    kubectl create $kind "$name" $sources --dry-run=client --output yaml \
        | kubectl --context "$cluster" --namespace "$namespace" \
            apply --server-side --force-conflicts -f - > /dev/null
    say "$namespace/$name is stored in $cluster"
}

# ready CLUSTER NAMESPACE STATEFULSET: wait until all of its pods are.
ready() { on "$1" --namespace "$2" rollout status "statefulset/$3" --timeout "$ST_WAIT"; }

# kustomization CLUSTER: which one the settings choose.
kustomization() {
    case "$1,$ST_AMBIENT,$ST_CERT_MANAGER" in
        bao,yes,yes) fail "ST_AMBIENT and ST_CERT_MANAGER change the same cluster; combine the" \
            "overlays in a kustomization of your own" ;;
        bao,no,yes) echo overlays/cert-manager ;;
        *,yes,*) echo "overlays/ambient/$1" ;;
        *) echo "clusters/$1" ;;
    esac
}

# command: the securetransport command of this checkout.
securetransport="$root/.venv/bin/securetransport"
case "$ST_VAR" in *' '*) fail "ST_VAR must not contain spaces" ;; esac
