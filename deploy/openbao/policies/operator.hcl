# The operator: leaves signed commands and reads what became of them.
path "secret/data/commands/*" {
  capabilities = ["create"]
}
path "secret/data/transport/*" {
  capabilities = ["read"]
}
path "secret/metadata/transport/*" {
  capabilities = ["list", "read"]
}

# Its own secret-id: make the next, look up and destroy the last.
path "auth/approle/role/operator/secret-id" {
  capabilities = ["create", "update"]
}
path "auth/approle/role/operator/secret-id/lookup" {
  capabilities = ["create", "update"]
}
path "auth/approle/role/operator/secret-id-accessor/destroy" {
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
