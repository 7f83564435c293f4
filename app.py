"""The page: ``python app.py``. Flags -> settings -> engine -> page; everything else is in ``unified_demo``."""

import argparse
import logging
import os
import sys
from pathlib import Path

from unified_demo import load_engine
from unified_demo.config import DEVICES, EXPERT_SETS, PRECISIONS, PROFILES, QUANTISATIONS, SERVER_GRAMMARS, Settings, default_data_dir
from unified_demo.errors import UnifiedError
from unified_demo.zoo import read_gigabytes


def read_flags(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="UnifiedMLLM Demo: words, regions and experts in one answer.")
    parser.add_argument("--profile", choices=PROFILES, default="tiny", help="which set of models")
    parser.add_argument("--device", choices=DEVICES, default="auto")
    parser.add_argument("--precision", choices=PRECISIONS, default="auto")
    parser.add_argument("--data-dir", type=Path, default=default_data_dir(), help="conversations and their media (default: %(default)s)")
    parser.add_argument("--no-history", action="store_true", help="keep no conversations: their media go when the program ends")
    parser.add_argument("--media-dir", type=Path, help="folder for media alone, visitors may read all in it (default: in --data-dir)")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on; others than this machine need --auth or --no-auth")
    parser.add_argument("--port", type=int, help="default: the first free one from 7860 on")
    parser.add_argument("--share", action="store_true", help="a public link through Gradio; needs --auth or --no-auth")
    parser.add_argument("--auth", metavar="USER:PASSWORD", help="who may come in")
    parser.add_argument("--no-auth", action="store_true", help="everybody who reaches the page may use it")
    parser.add_argument("--mcp", action="store_true", help="the typed endpoint is a tool for MCP clients, too (pip install 'gradio[mcp]')")
    full = parser.add_argument_group("the full profile")
    full.add_argument("--experts", choices=EXPERT_SETS, default="modern", help="the paper's experts, or today's")
    full.add_argument("--experts-file", type=Path, help="TOML: [experts] task = 'name', [folders] 'hub/id' = 'path'")
    full.add_argument("--allow-noncommercial", action="store_true", help="weights whose licence forbids commercial use, too")
    full.add_argument("--max-memory", type=read_gigabytes, metavar="16GB", help="what models may hold on the device")
    full.add_argument("--offload", action="store_true", help="an expert's parts come to the GPU one by one: slower, smaller")
    full.add_argument("--quantisation", choices=QUANTISATIONS, default="none", help="of the language model; needs bitsandbytes")
    full.add_argument("--compile", action="store_true", help="torch.compile: a slow first answer, faster ones later")
    full.add_argument(
        "--adapters", type=Path, help="a tuning of the language model (LoRAMoE or Neural Tuning), made by unified_demo.training.adapters"
    )
    full.add_argument("--server", default="", metavar="URL", help="an OpenAI-compatible server as language model, in any profile")
    full.add_argument("--server-model", default="", help="its model; default: the first one it serves")
    full.add_argument("--server-grammar", choices=SERVER_GRAMMARS, default="none", help="how it takes a grammar")
    full.add_argument("--picture-filter", default="", metavar="MODULE:FUNCTION", help="looks at results; or 'stable-diffusion', or 'none'")
    return parser.parse_args(arguments)


def read_settings(flags: argparse.Namespace, public: bool) -> Settings:
    """``public``: the page is open to others than this machine."""
    return Settings(
        flags.profile,
        flags.device,
        flags.precision,
        media_dir=flags.media_dir or (None if flags.no_history else flags.data_dir / "media"),
        quantisation=flags.quantisation,
        public=public,
        picture_filter=flags.picture_filter,
        max_memory_gb=flags.max_memory,
        experts=flags.experts,
        experts_file=flags.experts_file,
        allow_noncommercial=flags.allow_noncommercial,
        offload=flags.offload,
        compile=flags.compile,
        adapters=flags.adapters,
        server=flags.server,
        server_model=flags.server_model,
        server_grammar=flags.server_grammar,
    )


def main(arguments: list[str] | None = None) -> None:
    os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
    flags = read_flags(arguments)
    from unified_demo.history import History
    from unified_demo.ui.serve import ServeOptions, is_loopback, own_upload_folder, read_auth, serve

    os.environ.setdefault("GRADIO_TEMP_DIR", own_upload_folder())
    from unified_demo.ui.chat import build_chat

    try:
        options = ServeOptions(flags.host, flags.port, flags.share, read_auth(flags.auth), flags.no_auth, flags.mcp)
        engine = load_engine(read_settings(flags, public=flags.share or not is_loopback(flags.host)))
        history = None if flags.no_history else History(flags.data_dir / "conversations.sqlite", engine.store.root)
        page = build_chat(engine, history)
        serve(page, engine, options)
        page.block_thread()
    except UnifiedError as exc:
        sys.exit(str(exc))


if __name__ == "__main__":
    main()
