"""What an operator reads and decides: status, doctor, resolve, rebuild."""
