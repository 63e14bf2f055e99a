"""``make screenshots``: pictures of the real pages, taken while the real parties are at work."""

from __future__ import annotations

import argparse
import base64
import io
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from browser_stage import CHROMEDRIVER, CHROMIUM, COUNTER, MISSING, PHONE, Stage, stage

CHINESE = "zh-Hant"


@dataclass
class Camera:
    """Takes pictures of what the stage's browser shows, into ``folder``."""

    stage: Stage
    folder: Path
    taken: list[Path]

    def take(self, name: str, *, chinese: bool = False) -> None:
        """One picture in English; with ``chinese`` another of the same page in Chinese."""
        self._take(name)
        if chinese:
            self.language(CHINESE)
            self._take(f"{name}-zh-Hant")
            self.language("en")

    def language(self, code: str) -> None:
        here = self.stage.browser
        if here.script("return document.documentElement.lang") != code:
            here.click("header a.lang")
            here.see(f"html[lang={code}] h1")

    def _take(self, name: str) -> None:
        here = self.stage.browser
        here.script("document.activeElement.blur(); scrollTo(0, 0)")
        shot = here.command("Page.captureScreenshot", {"format": "png"})
        picture = Image.open(io.BytesIO(base64.b64decode(shot["data"]))).convert("RGB")
        path = self.folder / f"{name}.png"
        # Flat colours and text: a palette of 128 looks the same at a third of the size.
        picture.quantize(128, dither=Image.Dither.NONE).save(path, optimize=True)
        self.taken.append(path)


def pictures(at: Stage, camera: Camera, scheme: str) -> Iterator[str]:
    """The story of the README, page by page."""
    here = at.browser

    def phone() -> None:
        here.new_tab()
        here.screen(PHONE, scale=2, mobile=True)
        here.colours(scheme)

    here.screen(COUNTER)
    here.colours(scheme)
    counter = here.driver.current_window_handle

    at.sign_in(*at.enrol())
    here.screen(PHONE, scale=2, mobile=True)
    at.offer("age-1", "residency-1")
    yield "issuer-offer"

    here.screen(COUNTER)
    link = at.ask("liquor18")
    yield "cashier-request"
    phone()
    at.unlock("adult")
    yield "wallet-list"
    at.paste("adult", link)
    here.see("#yes")
    yield "wallet-consent +"
    here.click("#yes")
    here.see("#sent")
    here.to(counter)
    here.see("#verdict")
    yield "cashier-accepted +"

    link = at.ask("liquor18")
    phone()
    at.paste("minor", link)
    here.click("#yes")
    here.see("main h1")
    here.to(counter)
    here.see("#verdict")
    yield "cashier-refused"

    link = at.ask("resident-discount")
    phone()
    at.paste("adult", link)
    here.click("#yes")
    here.see("#sent")
    here.to(counter)
    here.see("#verdict")
    yield "cashier-amber"

    link = at.ask("over-ask")
    phone()
    at.paste("adult", link)
    here.see("#refused")
    yield "over-ask"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="where the pictures go")
    parser.add_argument("--scheme", choices=("light", "dark"), default="light")
    options = parser.parse_args()
    if not CHROMIUM or not CHROMEDRIVER:
        raise SystemExit(MISSING)
    options.folder.mkdir(parents=True, exist_ok=True)

    def note(text: str) -> None:
        print(f"{text} …", file=sys.stderr)

    with tempfile.TemporaryDirectory(prefix="bauhinia-pictures-") as folder, stage(Path(folder), note) as at:
        camera = Camera(at, options.folder, [])
        for name in pictures(at, camera, options.scheme):
            camera.take(name.removesuffix(" +"), chinese=name.endswith(" +"))
        for path in camera.taken:
            print(f"{path}  {path.stat().st_size // 1000} kB")


if __name__ == "__main__":
    main()
