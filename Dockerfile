# One image for all of Airflow's components; docker-compose.yaml says which one a container runs.
FROM python:3.11-slim-bookworm

ENV PYTHONUNBUFFERED=1 \
    PIP_NO_CACHE_DIR=1 \
    PIP_DISABLE_PIP_VERSION_CHECK=1 \
    AIRFLOW_HOME=/opt/airflow \
    AIRFLOW__CORE__DAGS_FOLDER=/opt/alma/dags \
    AIRFLOW__CORE__PLUGINS_FOLDER=/opt/alma/plugins

RUN useradd --uid 50000 --create-home --home-dir /opt/airflow airflow \
 && mkdir /opt/airflow/logs \
 && chown airflow:airflow /opt/airflow/logs

WORKDIR /opt/alma

# The dependencies first: they change less often than the code.
COPY requirements.txt requirements-production.txt constraints.txt ./
RUN pip install -c constraints.txt -r requirements-production.txt

COPY pyproject.toml README.md LICENSE ./
COPY include ./include
COPY plugins ./plugins
COPY dags ./dags
RUN pip install --no-deps -e .

USER airflow
CMD ["airflow", "version"]
