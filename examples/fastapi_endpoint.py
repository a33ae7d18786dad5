"""Answers a posted picture with its faces and their perceived expressions, as JSON.

Needs: edgeinfer, and pip install fastapi uvicorn
Run:   uvicorn fastapi_endpoint:app
       curl --data-binary @face.jpg http://127.0.0.1:8000/faces
"""

import os
import threading
from typing import Any

# A small file may unpack to a huge picture; OpenCV reads this limit when it is loaded.
os.environ["OPENCV_IO_MAX_IMAGE_PIXELS"] = "25000000"

import cv2
import numpy as np
from fastapi import FastAPI, HTTPException, Request
from fastapi.concurrency import run_in_threadpool

import edgeinfer

MOST_BYTES = 10_000_000
app = FastAPI(title="Perceived expressions")
pipeline = edgeinfer.load_pipeline(track=False)  # pictures do not follow each other
one_at_a_time = threading.Lock()  # a pipeline is not for two threads at once


@app.post("/faces")
async def faces(request: Request) -> list[dict[str, Any]]:
    """Faces in the picture that is the body of the request."""
    body = bytearray()
    async for part in request.stream():
        body += part
        if len(body) > MOST_BYTES:
            raise HTTPException(413, f"a picture has at most {MOST_BYTES} bytes; send a smaller one")
    return await run_in_threadpool(read, body)


def read(data: bytearray) -> list[dict[str, Any]]:
    """Decode a picture and read its faces; boxes are x, y, width, height in pixels."""
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    except cv2.error:  # no bytes, or too many pixels
        image = None
    if image is None:
        raise HTTPException(422, "the body is no picture of up to 25 megapixels; send the bytes of a JPEG or PNG file")
    with one_at_a_time:
        found = pipeline(image).faces
    return [
        {"box": face.box.xywh, "label": face.emotion.label, "confidence": round(face.emotion.confidence, 4)}
        for face in found
    ]
