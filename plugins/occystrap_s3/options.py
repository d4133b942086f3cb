"""Options of s3:// that sources, destinations and receipts have; cheap to import."""
from occystrap_core import Option

CONNECTION = (
    Option('endpoint', help='address of the server, such as https://minio.example:9000 (default: AWS_ENDPOINT_URL, '
                            'then Amazon S3)', decides=False),
    Option('region', help='region of the bucket (default: AWS_REGION, then the profile\'s)', decides=False),
    Option('profile', help='profile of ~/.aws/config with the credentials (default: AWS_PROFILE)', decides=False),
)
