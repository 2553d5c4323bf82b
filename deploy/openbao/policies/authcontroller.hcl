# AuthController: its own certificates, its own identity, nothing of anyone else.
# Only a request and a life: `not_after` would get round the role's longest life.
path "nats_int/issuer/+/sign/authcontroller" {
  capabilities = ["update"]
  allowed_parameters = { "csr" = [], "ttl" = [] }
}
path "nats_int/issuer/+/sign/authcontroller-admin" {
  capabilities = ["update"]
  allowed_parameters = { "csr" = [], "ttl" = [] }
}

# What everybody should trust and do.
path "secret/data/transport/desired" {
  capabilities = ["read"]
}

# Its instances' public keys: made once, never replaced.
path "secret/data/identities/authcontroller/*" {
  capabilities = ["create", "read"]
}
path "secret/data/kem/authcontroller/*" {
  capabilities = ["create", "read"]
}

# Bundles sealed to those keys, for when the authority is away.
path "secret/data/bundles/authcontroller/*" {
  capabilities = ["read"]
}

# Which secret-ids its instances say are theirs.
path "secret/data/claims/authcontroller/*" {
  capabilities = ["create", "read", "update"]
}

# Its own secret-id: make the next, marked as made by itself; look up and destroy the last.
path "auth/approle/role/authcontroller/secret-id" {
  capabilities = ["create", "update"]
  required_parameters = ["metadata"]
  allowed_parameters = { "metadata" = ["{\"made_by\":\"rotation\"}"] }
}
path "auth/approle/role/authcontroller/secret-id/lookup" {
  capabilities = ["create", "update"]
  allowed_parameters = { "secret_id" = [] }
}
path "auth/approle/role/authcontroller/secret-id-accessor/destroy" {
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
