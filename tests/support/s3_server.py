"""A server with the protocol of S3 for tests: moto, with one bucket, one user, and checks of credentials. Prints where it is, and the credentials, as
one line of JSON; then answers commands, one a line, with one line of JSON each: `objects`, `uploads`, `delete KEY`."""

import json
import sys
import threading
import urllib.request

import boto3
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import make_server

BUCKET = "backups"
ALL = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}

server = make_server("127.0.0.1", 0, DomainDispatcherApplication(create_backend_app), threaded=True)
endpoint = f"http://127.0.0.1:{server.port}"
threading.Thread(target=server.serve_forever, daemon=True).start()


def client(service, key, secret):
    return boto3.client(
        service, endpoint_url=endpoint, region_name="us-east-1", aws_access_key_id=key, aws_secret_access_key=secret
    )


client("s3", "setup", "setup").create_bucket(Bucket=BUCKET)
iam = client("iam", "setup", "setup")
iam.create_user(UserName="confwatch")
iam.put_user_policy(UserName="confwatch", PolicyName="all", PolicyDocument=json.dumps(ALL))
made = iam.create_access_key(UserName="confwatch")["AccessKey"]
key, secret = made["AccessKeyId"], made["SecretAccessKey"]
# From here on every request needs the credentials of the user.
headers = {"Content-Type": "text/plain"}
urllib.request.urlopen(urllib.request.Request(f"{endpoint}/moto-api/reset-auth", b"0", headers, method="POST"))
print(json.dumps({"endpoint": endpoint, "bucket": BUCKET, "key": key, "secret": secret}), flush=True)

s3 = client("s3", key, secret)
for line in sys.stdin:
    command, *rest = line.split()
    if command == "objects":
        answer = [found["Key"] for found in s3.list_objects_v2(Bucket=BUCKET).get("Contents", [])]
    elif command == "uploads":
        answer = [found["Key"] for found in s3.list_multipart_uploads(Bucket=BUCKET).get("Uploads", [])]
    elif command == "delete":
        s3.delete_object(Bucket=BUCKET, Key=rest[0])
        answer = rest
    else:
        sys.exit(f"unknown command {command}")
    print(json.dumps(answer), flush=True)
