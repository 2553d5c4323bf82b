# Metadata: the authority. It makes intermediates, keys and bundles; it signs no leaf but its own
# and the canary's, and cannot change policies, roles or who may log in.

# Intermediates: key and request inside OpenBao, signed by the root that the journal names, imported,
# retired. A root's own path length ends below them; other parameters of its signature are not for
# asking.
path "pki/issuer/+/sign-intermediate" {
  capabilities = ["update"]
  allowed_parameters = {
    "csr" = []
    "common_name" = []
    "ttl" = []
    "not_before_duration" = []
    "max_path_length" = []
  }
}

# Roots: another one beside the first, its key made inside OpenBao and never shown; the former one's
# key and certificate deleted once nothing depends on it. No root can be imported or changed.
path "pki/issuers/generate/root/internal" {
  capabilities = ["update"]
  allowed_parameters = {
    "issuer_name" = []
    "key_name" = []
    "key_type" = ["ec"]
    "key_bits" = []
    "common_name" = []
    "ttl" = []
    "not_before_duration" = []
    "max_path_length" = []
  }
}
path "pki/issuers/generate/root/existing" {
  capabilities = ["update"]
  allowed_parameters = {
    "issuer_name" = []
    "key_ref" = []
    "common_name" = []
    "ttl" = []
    "not_before_duration" = []
    "max_path_length" = []
  }
}
path "pki/issuer/+" {
  capabilities = ["read", "delete"]
}
path "pki/key/+" {
  capabilities = ["read", "delete"]
}
path "nats_int/intermediate/generate/internal" {
  capabilities = ["update"]
}
path "nats_int/issuers/generate/intermediate/existing" {
  capabilities = ["update"]
}
path "nats_int/intermediate/set-signed" {
  capabilities = ["update"]
}
path "nats_int/issuers" {
  capabilities = ["list"]
}
path "nats_int/issuer/+" {
  capabilities = ["read", "update", "delete"]
}
path "nats_int/keys" {
  capabilities = ["list"]
}
path "nats_int/key/+" {
  capabilities = ["read", "delete"]
}
path "nats_route/intermediate/generate/internal" {
  capabilities = ["update"]
}
path "nats_route/issuers/generate/intermediate/existing" {
  capabilities = ["update"]
}
path "nats_route/intermediate/set-signed" {
  capabilities = ["update"]
}
path "nats_route/issuers" {
  capabilities = ["list"]
}
path "nats_route/issuer/+" {
  capabilities = ["read", "update", "delete"]
}
path "nats_route/keys" {
  capabilities = ["list"]
}
path "nats_route/key/+" {
  capabilities = ["read", "delete"]
}

# Its own leaves and the canary's; `not_after` would get round the role's longest life.
path "nats_int/issuer/+/sign/metadata" {
  capabilities = ["update"]
  allowed_parameters = { "csr" = [], "ttl" = [] }
}
path "nats_int/issuer/+/sign/metadata-admin" {
  capabilities = ["update"]
  allowed_parameters = { "csr" = [], "ttl" = [] }
}
path "nats_int/issuer/+/sign/canary" {
  capabilities = ["update"]
  allowed_parameters = { "csr" = [], "ttl" = [] }
}

# The truth, the journal and the keys; old ones are deleted for good.
path "secret/data/transport/*" {
  capabilities = ["create", "read", "update"]
}
path "secret/metadata/transport/*" {
  capabilities = ["list", "read", "delete"]
}

# What must never be lost, and what is only ever added to.
path "secret/metadata/transport/desired" {
  capabilities = ["read"]
}
path "secret/metadata/transport/journal" {
  capabilities = ["read"]
}
path "secret/metadata/transport/rights" {
  capabilities = ["read"]
}
path "secret/data/transport/audit/*" {
  capabilities = ["create", "read"]
}
# Cut off only behind a signed checkpoint that says so; anything else shows in a verification.
path "secret/metadata/transport/audit/*" {
  capabilities = ["list", "read", "delete"]
}

# Who the other instances are; making one is each service's own right.
path "secret/data/identities/*" {
  capabilities = ["read"]
}
path "secret/metadata/identities/*" {
  capabilities = ["list", "read", "delete"]
}

# The keys that bundles are sealed to, each signed by its instance, and the bundles at rest.
path "secret/data/kem/*" {
  capabilities = ["read"]
}
path "secret/metadata/kem/*" {
  capabilities = ["list", "read", "delete"]
}
path "secret/data/bundles/*" {
  capabilities = ["create", "read", "update"]
}
path "secret/metadata/bundles/*" {
  capabilities = ["list", "read", "delete"]
}

# Which secret-ids instances say are theirs, and the secret-ids there are: what nobody claims is
# destroyed. It can neither make one for another service nor learn one.
path "secret/data/claims/*" {
  capabilities = ["read"]
}
path "secret/metadata/claims/*" {
  capabilities = ["list", "read", "delete"]
}
path "auth/approle/role/watcher/secret-id" {
  capabilities = ["list"]
}
path "auth/approle/role/gatekeeper/secret-id" {
  capabilities = ["list"]
}
path "auth/approle/role/authcontroller/secret-id" {
  capabilities = ["list"]
}
path "auth/approle/role/metadata/secret-id-accessor/lookup" {
  capabilities = ["create", "update"]
}
path "auth/approle/role/watcher/secret-id-accessor/lookup" {
  capabilities = ["create", "update"]
}
path "auth/approle/role/gatekeeper/secret-id-accessor/lookup" {
  capabilities = ["create", "update"]
}
path "auth/approle/role/authcontroller/secret-id-accessor/lookup" {
  capabilities = ["create", "update"]
}
path "auth/approle/role/watcher/secret-id-accessor/destroy" {
  capabilities = ["create", "update"]
}
path "auth/approle/role/gatekeeper/secret-id-accessor/destroy" {
  capabilities = ["create", "update"]
}
path "auth/approle/role/authcontroller/secret-id-accessor/destroy" {
  capabilities = ["create", "update"]
}

# Ends the tokens of a service that is revoked, by their accessors; it learns no token.
path "auth/token/accessors" {
  capabilities = ["list", "sudo"]
}
path "auth/token/lookup-accessor" {
  capabilities = ["create", "update"]
}
path "auth/token/revoke-accessor" {
  capabilities = ["create", "update"]
}

# What the operator asks for; removed with its result some time after it was done.
path "secret/data/commands/*" {
  capabilities = ["read"]
}
path "secret/metadata/commands/*" {
  capabilities = ["list", "read", "delete"]
}

# Wraps the keys it stores.
path "transit/encrypt/bundle-master" {
  capabilities = ["create", "update"]
}
path "transit/decrypt/bundle-master" {
  capabilities = ["create", "update"]
}

# Its instances' public keys: made once, never replaced.
path "secret/data/identities/metadata/*" {
  capabilities = ["create", "read"]
}

# Which secret-ids its instances say are theirs.
path "secret/data/claims/metadata/*" {
  capabilities = ["create", "read", "update"]
}

# Its own secret-id: make the next, marked as made by itself; look up and destroy the last.
path "auth/approle/role/metadata/secret-id" {
  capabilities = ["create", "update", "list"]
  required_parameters = ["metadata"]
  allowed_parameters = { "metadata" = ["{\"made_by\":\"rotation\"}"] }
}
path "auth/approle/role/metadata/secret-id/lookup" {
  capabilities = ["create", "update"]
  allowed_parameters = { "secret_id" = [] }
}
path "auth/approle/role/metadata/secret-id-accessor/destroy" {
  capabilities = ["create", "update"]
}

# Its own token.
path "auth/token/lookup-self" {
  capabilities = ["read"]
}
path "auth/token/renew-self" {
  capabilities = ["update"]
}
path "auth/token/revoke-self" {
  capabilities = ["update"]
}
