"""The life of two instances as py-eureka-client leads it; what one sees of the other is told in lines of JSON.

Each has a process of its own: a client goes on renewing after it was stopped, until its process ends.
"""

import asyncio
import json
import subprocess
import sys
import time

from py_eureka_client.eureka_client import EurekaClient

URL, *ROLE = sys.argv[1:]


def client(app, port):
    place = {"instance_host": "127.0.0.1", "instance_ip": "127.0.0.1", "instance_port": port}
    return EurekaClient(eureka_server=URL, app_name=app, renewal_interval_in_secs=1, duration_in_secs=3, **place)


async def pay():
    """Goes out of service with a first line, and away with a second."""
    own = client("pay", 9001)
    await own.start()
    await asyncio.to_thread(sys.stdin.readline)
    await own.status_update("OUT_OF_SERVICE")
    await asyncio.to_thread(sys.stdin.readline)
    await own.stop()


async def shop():
    own = client("shop", 9002)

    def seen(app):
        return [one.status for found in own.applications.applications if found.name == app for one in found.instances]

    async def until(*states):
        start = time.monotonic()
        while seen("PAY") not in states:
            if time.monotonic() - start > 30:
                sys.exit(f"PAY is {seen('PAY')}, not one of {states}")
            await asyncio.sleep(0.1)

    def say(**line):
        print(json.dumps(line), flush=True)

    with subprocess.Popen([sys.executable, __file__, URL, "pay"], stdin=subprocess.PIPE, text=True) as other:

        def go_on():
            other.stdin.write("\n")
            other.stdin.flush()

        await own.start()
        await until(["UP"])
        await asyncio.sleep(4)  # longer than the lease: they renew
        say(after_a_lease={"PAY": seen("PAY"), "SHOP": seen("SHOP")})
        go_on()
        await until(["OUT_OF_SERVICE"])
        say(out_of_service=True)
        go_on()
        await until([])
        say(left=True)
    await own.stop()


asyncio.run(pay() if ROLE else shop())
