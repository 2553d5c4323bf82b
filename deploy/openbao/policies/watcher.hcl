# Watcher: its own certificates, those of the NATS servers and of their routes.
path "nats_int/issuer/+/sign/watcher" {
  capabilities = ["update"]
}
path "nats_int/issuer/+/sign/watcher-sys" {
  capabilities = ["update"]
}
path "nats_int/issuer/+/sign/watcher-admin" {
  capabilities = ["update"]
}
path "nats_int/issuer/+/sign/canary" {
  capabilities = ["update"]
}
path "nats_int/issuer/+/sign/nats-server" {
  capabilities = ["update"]
}
path "nats_route/issuer/+/sign/nats-route" {
  capabilities = ["update"]
}

# What everybody should trust and do.
path "secret/data/transport/desired" {
  capabilities = ["read"]
}

# Its instances' public keys: made once, never replaced.
path "secret/data/identities/watcher/*" {
  capabilities = ["create", "read"]
}

# Its own secret-id: make the next, look up and destroy the last.
path "auth/approle/role/watcher/secret-id" {
  capabilities = ["create", "update"]
}
path "auth/approle/role/watcher/secret-id/lookup" {
  capabilities = ["create", "update"]
}
path "auth/approle/role/watcher/secret-id-accessor/destroy" {
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
