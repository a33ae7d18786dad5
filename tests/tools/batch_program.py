"""The `edgeinfer` command with small chunks of pictures: `python -m tools.batch_program CHUNK ARGUMENT...`."""

import sys

if __name__ == "__main__":
    from edgeinfer.__main__ import main
    from edgeinfer.batch import chunks, units

    for module in (chunks, units):
        vars(module)["CHUNK_PICTURES"] = int(sys.argv.pop(1)) if module is chunks else chunks.CHUNK_PICTURES
    main()
