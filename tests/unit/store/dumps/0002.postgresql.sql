CREATE TABLE public.alma_etl_version (
    version_num character varying(32) NOT NULL
);
CREATE TABLE public.api_budget (
    name text NOT NULL,
    clock double precision NOT NULL,
    next_slot double precision NOT NULL,
    step double precision NOT NULL,
    generation bigint NOT NULL,
    rate double precision NOT NULL,
    rate_at double precision NOT NULL,
    speed double precision NOT NULL,
    speed_at double precision NOT NULL,
    closed_until double precision NOT NULL,
    closed_reason text NOT NULL,
    calls_left bigint,
    calls_left_at double precision NOT NULL,
    day bigint NOT NULL,
    granted bigint NOT NULL,
    refused bigint NOT NULL
);
CREATE TABLE public.loaded_items (
    alma text NOT NULL,
    barcode text NOT NULL,
    mms_id text NOT NULL,
    holding_id text NOT NULL,
    item_pid text NOT NULL,
    run_id text NOT NULL
);
INSERT INTO public.alma_etl_version VALUES ('0002');
INSERT INTO public.api_budget VALUES ('api-na.hosted.exlibrisgroup.com/01ABC_INST', 1795983766.835686, 1795983767.835686, 0.051546391752577324, 1, 20, 1795983766.826337, 0.7, 1795983767.835686, 0, '', 90000, 1795983766.832511, 20786, 5, 1);
INSERT INTO public.api_budget VALUES ('second Alma', 1795983766.854815, 0, 1, 1, 0, 0, 1, 0, 32503680000, 'the daily threshold is reached', NULL, 0, 20786, 0, 0);
INSERT INTO public.loaded_items VALUES ('api-na.hosted.exlibrisgroup.com/01ABC_INST', 'B-1', '991', '221', '231', 'run-1');
INSERT INTO public.loaded_items VALUES ('api-na.hosted.exlibrisgroup.com/01ABC_INST', 'B-2', '991', '221', '232', 'run-2');
ALTER TABLE ONLY public.alma_etl_version
    ADD CONSTRAINT alma_etl_version_pkc PRIMARY KEY (version_num);
ALTER TABLE ONLY public.api_budget
    ADD CONSTRAINT pk_api_budget PRIMARY KEY (name);
ALTER TABLE ONLY public.loaded_items
    ADD CONSTRAINT pk_loaded_items PRIMARY KEY (alma, barcode);
