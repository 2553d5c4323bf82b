ui                = false
log_level         = "info"
cluster_name      = "securetransport"
default_lease_ttl = "1h"
max_lease_ttl     = "87600h"

# Addresses and the node's id come from the environment of each pod.
storage "raft" {
  path = "/openbao/data"
  retry_join {
    leader_api_addr     = "https://openbao-0.openbao-internal.openbao.svc.cluster.local:8200"
    leader_ca_cert_file = "/openbao/tls/ca.pem"
  }
  retry_join {
    leader_api_addr     = "https://openbao-1.openbao-internal.openbao.svc.cluster.local:8200"
    leader_ca_cert_file = "/openbao/tls/ca.pem"
  }
  retry_join {
    leader_api_addr     = "https://openbao-2.openbao-internal.openbao.svc.cluster.local:8200"
    leader_ca_cert_file = "/openbao/tls/ca.pem"
  }
}

# Pods unseal themselves with a key from the Secret openbao-seal, so that whoever reads that Secret
# can read the data. Where there is a key service (transit, awskms, gcpckms, azurekeyvault, pkcs11)
# put its stanza here instead and delete the Secret.
seal "static" {
  current_key_id = "1"
  current_key    = "file:///openbao/seal/seal.key"
}

listener "tcp" {
  address         = "0.0.0.0:8200"
  cluster_address = "0.0.0.0:8201"
  tls_cert_file   = "/openbao/tls/cert.pem"
  tls_key_file    = "/openbao/tls/key.pem"
  tls_min_version = "tls13"
  # Making a root token from the recovery key needs this changed and the pods restarted.
  disable_unauthed_generate_root_endpoints = true
}

audit "file" "requests" {
  options {
    file_path = "stdout"
  }
}
