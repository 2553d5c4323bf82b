# Metadata: the authority. It makes intermediates, keys and bundles; it signs no leaf but its own
# and the canary's, and cannot change policies, roles or who may log in.

# Intermediates: key and request inside OpenBao, signed by the root, imported, retired.
path "pki/root/sign-intermediate" {
  capabilities = ["update"]
}
path "pki/issuer/default" {
  capabilities = ["read"]
}
path "pki/cert/ca" {
  capabilities = ["read"]
}
path "nats_int/intermediate/generate/internal" {
  capabilities = ["update"]
}
path "nats_int/issuers/generate/intermediate/existing" {
  capabilities = ["update"]
}
path "nats_int/issuers/generate/intermediate/existing" {
  capabilities = ["update"]
}
path "nats_int/intermediate/set-signed" {
  capabilities = ["update"]
}
path "nats_int/issuers/import/cert" {
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
  capabilities = ["read", "update", "delete"]
}
path "nats_route/intermediate/generate/internal" {
  capabilities = ["update"]
}
path "nats_route/issuers/generate/intermediate/existing" {
  capabilities = ["update"]
}
path "nats_route/issuers/generate/intermediate/existing" {
  capabilities = ["update"]
}
path "nats_route/intermediate/set-signed" {
  capabilities = ["update"]
}
path "nats_route/issuers/import/cert" {
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
  capabilities = ["read", "update", "delete"]
}

# Its own leaves and the canary's.
path "nats_int/issuer/+/sign/metadata" {
  capabilities = ["update"]
}
path "nats_int/issuer/+/sign/metadata-admin" {
  capabilities = ["update"]
}
path "nats_int/issuer/+/sign/canary" {
  capabilities = ["update"]
}

# The truth, the journal, the keys and the stored bundles; old ones are deleted for good.
path "secret/data/transport/*" {
  capabilities = ["create", "read", "update", "delete"]
}
path "secret/metadata/transport/*" {
  capabilities = ["list", "read", "delete"]
}

# Its own instances' public keys: made once, never replaced.
path "secret/data/identities/metadata/*" {
  capabilities = ["create", "read"]
}

# Who the other instances are; making one is each service's own right.
path "secret/data/identities/*" {
  capabilities = ["read"]
}
path "secret/metadata/identities/*" {
  capabilities = ["list", "read", "delete"]
}

# What the operator asks for.
path "secret/data/commands/*" {
  capabilities = ["read"]
}
path "secret/metadata/commands/*" {
  capabilities = ["list", "read"]
}

# Wraps the keys it stores.
path "transit/encrypt/bundle-master" {
  capabilities = ["create", "update"]
}
path "transit/decrypt/bundle-master" {
  capabilities = ["create", "update"]
}

# Its own secret-id: make the next, look up and destroy the last.
path "auth/approle/role/metadata/secret-id" {
  capabilities = ["create", "update"]
}
path "auth/approle/role/metadata/secret-id/lookup" {
  capabilities = ["create", "update"]
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
