# The operator: leaves signed commands and reads what became of them. Its secret-id is made and
# replaced by whoever sets OpenBao up.
path "secret/data/commands/*" {
  capabilities = ["create"]
}
path "secret/data/transport/*" {
  capabilities = ["read"]
}
path "secret/metadata/transport/*" {
  capabilities = ["list", "read"]
}

# Keys and bundles are sealed, and still nothing to an operator.
path "secret/data/transport/keys/*" {
  capabilities = ["deny"]
}
path "secret/data/transport/bundles/*" {
  capabilities = ["deny"]
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
