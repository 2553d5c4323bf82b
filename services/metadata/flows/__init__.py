"""What the authority does: reconcile issuers, issue keys, announce, answer pulls."""
