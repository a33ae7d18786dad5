"""The `edgeinfer` command with small chunks of pictures: `python -m tools.batch_program SIZE ARGUMENT...`."""

import sys

if __name__ == "__main__":
    from edgeinfer.__main__ import main
    from edgeinfer.batch import chunks, units

    size = int(sys.argv.pop(1))
    for module in (chunks, units):
        vars(module)["CHUNK_PICTURES"] = size
    main()
