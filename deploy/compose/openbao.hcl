ui                = false
log_level         = "warn"
cluster_name      = "securetransport"
api_addr          = "https://openbao:8200"
cluster_addr      = "https://openbao:8201"
default_lease_ttl = "1h"
max_lease_ttl     = "87600h"

storage "raft" {
  path                   = "/stack/openbao/data"
  node_id                = "openbao"
  performance_multiplier = 1
}

# A restarted container unseals itself with a key on the same volume. That protects backups of the
# data, not the volume: where the data is worth more, seal with a key service instead.
seal "static" {
  current_key_id = "1"
  current_key    = "file:///stack/openbao/seal.key"
}

listener "tcp" {
  address         = "0.0.0.0:8200"
  cluster_address = "0.0.0.0:8201"
  tls_cert_file   = "/stack/openbao/tls/cert.pem"
  tls_key_file    = "/stack/openbao/tls/key.pem"
  tls_min_version = "tls13"
  # Open, so that `provision` can set up a newer version; it takes the recovery key, which only
  # that container can read, and the port is not published.
  disable_unauthed_generate_root_endpoints = false
}

audit "file" "requests" {
  options {
    file_path = "stdout"
  }
}
