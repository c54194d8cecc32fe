"""What engines share whose pictures are made elsewhere: a loop in a thread, answers as they come, keys, pictures."""
