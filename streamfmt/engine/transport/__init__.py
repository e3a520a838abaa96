"""What the bytes of a migration go through: addresses of links, their ends, TLS, and moving bytes at a given speed."""
