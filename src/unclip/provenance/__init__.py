"""Where a picture comes from: what it says of itself, signed, and how to read that of any picture."""

CERTIFICATES = "certificates"  # the folder of a server's CA and signing key, in the server's home
