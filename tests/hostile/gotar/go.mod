module gotar

go 1.24
