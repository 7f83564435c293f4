"""The page: ``python app.py``. Flags -> settings -> engine -> page; everything else is in ``unified_demo``."""

import argparse
import logging
import os
import sys
from pathlib import Path

from unified_demo import load_engine
from unified_demo.config import DEVICES, PRECISIONS, PROFILES, Settings
from unified_demo.errors import UnifiedError


def read_flags(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="UnifiedMLLM Demo: words, regions and experts in one answer.")
    parser.add_argument("--profile", choices=PROFILES, default="tiny", help="which set of models")
    parser.add_argument("--device", choices=DEVICES, default="auto")
    parser.add_argument("--precision", choices=PRECISIONS, default="auto")
    parser.add_argument("--media-dir", type=Path, help="folder for pictures alone, visitors may read all in it (default: a temporary one)")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on; others than this machine need --auth or --no-auth")
    parser.add_argument("--port", type=int, help="default: the first free one from 7860 on")
    parser.add_argument("--share", action="store_true", help="a public link through Gradio; needs --auth or --no-auth")
    parser.add_argument("--auth", metavar="USER:PASSWORD", help="who may come in")
    parser.add_argument("--no-auth", action="store_true", help="everybody who reaches the page may use it")
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> None:
    os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
    flags = read_flags(arguments)
    from unified_demo.ui.chat import build_chat
    from unified_demo.ui.serve import ServeOptions, launch_options, read_auth

    try:
        options = ServeOptions(flags.host, flags.port, flags.share, read_auth(flags.auth), flags.no_auth)
        engine = load_engine(Settings(flags.profile, flags.device, flags.precision, media_dir=flags.media_dir))
        build_chat(engine).launch(**launch_options(engine, options))
    except UnifiedError as exc:
        sys.exit(str(exc))


if __name__ == "__main__":
    main()
