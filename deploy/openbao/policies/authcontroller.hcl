# AuthController: its own certificates, its own identity, nothing of anyone else.
path "nats_int/issuer/+/sign/authcontroller" {
  capabilities = ["update"]
}
path "nats_int/issuer/+/sign/authcontroller-admin" {
  capabilities = ["update"]
}

# What everybody should trust and do.
path "secret/data/transport/desired" {
  capabilities = ["read"]
}

# Its instances' public keys: made once, never replaced.
path "secret/data/identities/authcontroller/*" {
  capabilities = ["create", "read"]
}

# Its own secret-id: make the next, look up and destroy the last.
path "auth/approle/role/authcontroller/secret-id" {
  capabilities = ["create", "update"]
}
path "auth/approle/role/authcontroller/secret-id/lookup" {
  capabilities = ["create", "update"]
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
