"""What happens between sockets, to be drawn: the main story of real processes, and experiments made on a stage."""
