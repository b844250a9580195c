"""What a server remembers: jobs, pictures, keys, an audit trail, and the pictures' bytes. Needs no torch."""
