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

# Keys are sealed, and still nothing to an operator.
path "secret/data/transport/keys/*" {
  capabilities = ["deny"]
}

# Its own certificate for NATS, where it may look at dead letters and send them again.
# Only a request and a life: `not_after` would get round the role's longest life.
path "nats_int/issuer/+/sign/operator" {
  capabilities = ["update"]
  allowed_parameters = { "csr" = [], "ttl" = [] }
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
