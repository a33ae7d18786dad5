"""HTTP endpoint that returns the faces in a posted image and their perceived expressions as JSON, with an upload page.

Needs: edgeinfer, and pip install fastapi uvicorn
Run:   uvicorn fastapi_endpoint:app
       curl --data-binary @face.jpg http://127.0.0.1:8000/faces     (or open http://127.0.0.1:8000)
"""

import os
import threading
from typing import Any

# A small file can decode to a huge image. OpenCV reads this limit at import.
os.environ["OPENCV_IO_MAX_IMAGE_PIXELS"] = "25000000"

import cv2
import numpy as np
from fastapi import FastAPI, HTTPException, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import HTMLResponse

import edgeinfer

MAX_BYTES = 10_000_000
PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<title>Perceived expressions</title>
<label>Picture <input type="file" accept="image/*"></label>
<pre></pre>
<script>
  document.querySelector("input").onchange = async (event) => {
    const response = await fetch("faces", {method: "POST", body: event.target.files[0]});
    document.querySelector("pre").textContent = JSON.stringify(await response.json(), null, 2);
  };
</script>
"""
app = FastAPI(title="Perceived expressions")
pipeline = edgeinfer.load_pipeline(track=False)  # images are independent
pipeline_lock = threading.Lock()  # a pipeline is not thread-safe


@app.get("/", response_class=HTMLResponse)
def page() -> str:
    """Return a page that uploads a picture and shows the faces in it."""
    return PAGE


@app.post("/faces")
async def faces(request: Request) -> list[dict[str, Any]]:
    """Return the faces in the image that is the request body."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_BYTES:
            raise HTTPException(413, f"the image exceeds {MAX_BYTES} bytes; send a smaller one")
    return await run_in_threadpool(read, body)


def read(data: bytearray) -> list[dict[str, Any]]:
    """Decode an image and classify its faces; boxes are x, y, width, height in pixels."""
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    except cv2.error:  # empty body, or too many pixels
        image = None
    if image is None:
        raise HTTPException(
            422, "the body is not an image of up to 25 megapixels; send the bytes of a JPEG or PNG file"
        )
    with pipeline_lock:
        detected = pipeline(image).faces
    return [
        {"box": face.box.xywh, "label": face.emotion.label, "confidence": round(face.emotion.confidence, 4)}
        for face in detected
    ]
